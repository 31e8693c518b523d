"""The only user of jinja2: from templates and values to text."""

from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from builder.domain.recipe import Recipe


class Renderer:
    """Renders the templates of one folder; a name that a template misses is an error."""

    def __init__(self, folder: Path) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(folder),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            autoescape=select_autoescape(["html", "html.j2"], default=False),
        )

    def render(self, name: str, context: Mapping[str, object]) -> str:
        """Return the template `name`, filled with the names of `context`."""
        return self._environment.get_template(name).render(dict(context))

    def dockerfile(self, recipe: Recipe) -> str:
        """Return the Dockerfile of one recipe."""
        names = ("image", "cell", "assembled", "layers", "ops", "contexts", "environment")
        context: dict[str, object] = {name: getattr(recipe, name) for name in names}
        context["toolkit_in_wheels"] = recipe.toolkit_in_wheels
        context["evaluator_needs_tools"] = recipe.evaluator_needs_tools
        context["compiler_environment"] = recipe.compiler_environment
        context["devel_environment"] = recipe.devel_environment
        context["rebuilds"] = recipe.rebuilds
        context["labels"] = recipe.labels
        context["passport"] = recipe.passport
        context["isa"] = recipe.selection.isa
        context["arch_list"] = recipe.selection.arch_list
        return self.render("Dockerfile.j2", context)


def renderer(root: Path) -> Renderer:
    """Return the renderer of a checkout's `templates` folder."""
    return Renderer(root / "templates")
