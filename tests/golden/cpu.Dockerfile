# BEVFormer, cell cpu: BEVFormer-tiny on the CPU, from the package index and Debian alone.
# Made by `cellar render`; do not edit. `cellar build` hands in the named contexts below, all from
# the store: no step has a network, and no stage comes from a registry.
#
#   bootstrap  the files of Debian bookworm's essential packages, as an OCI image
#   debs       the locked Debian packages, a folder for each group
#   wheelhouse the locked wheels, a folder for each image layer; pip's own in pip/
#   sources    the sources of the ops, a folder for each, edits.yaml applied
#   evaluator  the evaluator's source tree
#   rootfs     files that the image holds as they are
#   steps      the scripts that the RUN lines call
#   ops        (in place of the stage) the op wheels, where the store has them

# Seconds since 1970: the time of every file, of the image and of its history.
ARG SOURCE_DATE_EPOCH=1690387578

# ---- base: Debian bookworm, installed by its own dpkg ----
FROM bootstrap AS debian
ARG SOURCE_DATE_EPOCH
RUN --network=none \
    --mount=type=bind,from=steps,target=/mnt/steps \
    --mount=type=bind,from=debs,source=essential,target=/mnt/essential \
    --mount=type=bind,from=debs,source=base,target=/mnt/base \
    /mnt/steps/install-debian /mnt/essential /mnt/base

FROM scratch AS base
COPY --from=debian / /

# ---- python: one environment for everything, found by any user without activation ----
FROM base AS python
ARG SOURCE_DATE_EPOCH
ENV PATH="/opt/cellar/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" \
    LANG="C.UTF-8" \
    PYTHONNOUSERSITE="1" \
    HOME="/tmp" \
    USER="cellar"
RUN --network=none \
    --mount=type=bind,from=steps,target=/mnt/steps \
    --mount=type=bind,from=rootfs,target=/mnt/rootfs \
    /mnt/steps/make-environment /opt/cellar python3.11 1000 /data

# ---- torch: what all else is compiled against; no layer above 1 GiB ----
FROM python AS torch
ARG SOURCE_DATE_EPOCH
RUN --network=none \
    --mount=type=bind,from=steps,target=/mnt/steps \
    --mount=type=bind,from=wheelhouse,source=pip,target=/mnt/pip \
    --mount=type=bind,from=wheelhouse,source=torch,target=/mnt/wheels \
    /mnt/steps/install-wheels /opt/cellar /mnt/pip /mnt/wheels

# ---- ops: what is compiled against this torch, for x86-64-v2 ----
FROM torch AS toolchain
ARG SOURCE_DATE_EPOCH
RUN --network=none \
    --mount=type=bind,from=steps,target=/mnt/steps \
    --mount=type=bind,from=debs,source=toolchain,target=/mnt/debs \
    /mnt/steps/install-debs /mnt/debs
RUN --network=none \
    --mount=type=bind,from=steps,target=/mnt/steps \
    --mount=type=bind,from=wheelhouse,source=pip,target=/mnt/pip \
    --mount=type=bind,from=wheelhouse,source=build,target=/mnt/wheels \
    /mnt/steps/install-wheels /opt/cellar /mnt/pip /mnt/wheels

FROM toolchain AS ops-build
ARG SOURCE_DATE_EPOCH
ENV CC="gcc-12" \
    CXX="g++-12" \
    CFLAGS="-march=x86-64-v2 -mtune=generic -g0 -ffile-prefix-map=/build=." \
    CXXFLAGS="-march=x86-64-v2 -mtune=generic -g0 -ffile-prefix-map=/build=." \
    MMCV_WITH_OPS="1"
FROM ops-build AS build-mmcv-full
ARG SOURCE_DATE_EPOCH
ARG COLD=""
ARG JOBS=""
RUN --network=none \
    --mount=type=bind,from=steps,target=/mnt/steps \
    --mount=type=bind,from=wheelhouse,source=pip,target=/mnt/pip \
    --mount=type=bind,from=sources,source=mmcv-full,target=/mnt/sources \
    --mount=type=cache,id=cellar-objects,target=/mnt/objects \
    /mnt/steps/build-wheels /opt/cellar /mnt/pip /mnt/sources /wheels

FROM scratch AS op-mmcv-full
COPY --from=build-mmcv-full /wheels /

FROM scratch AS ops
COPY --from=op-mmcv-full / /

# ---- evaluator: Python alone, so no compiler is needed ----
FROM torch AS evaluator-build
ARG SOURCE_DATE_EPOCH
RUN --network=none \
    --mount=type=bind,from=steps,target=/mnt/steps \
    --mount=type=bind,from=wheelhouse,source=pip,target=/mnt/pip \
    --mount=type=bind,from=evaluator,target=/mnt/sources \
    /mnt/steps/build-wheels /opt/cellar /mnt/pip /mnt/sources /wheels

FROM scratch AS evaluator-wheel
COPY --from=evaluator-build /wheels /

# ---- wheels: every other distribution ----
FROM torch AS wheels
ARG SOURCE_DATE_EPOCH
RUN --network=none \
    --mount=type=bind,from=steps,target=/mnt/steps \
    --mount=type=bind,from=wheelhouse,source=pip,target=/mnt/pip \
    --mount=type=bind,from=wheelhouse,source=runtime,target=/mnt/wheels \
    /mnt/steps/install-wheels /opt/cellar /mnt/pip /mnt/wheels

# ---- packages: all but the evaluator, which changes most often and so comes last ----
FROM wheels AS packages
ARG SOURCE_DATE_EPOCH
RUN --network=none \
    --mount=type=bind,from=steps,target=/mnt/steps \
    --mount=type=bind,from=wheelhouse,source=pip,target=/mnt/pip \
    --mount=type=bind,from=ops,target=/mnt/wheels \
    /mnt/steps/install-wheels /opt/cellar /mnt/pip /mnt/wheels

# What it needs of its host: for whoever looks inside, and for `cellar doctor` without a look.
ARG PASSPORT='{"base":"Debian bookworm","cell":"cpu","glibc":"2.36","gpu":null,"image":"bevformer","isa":"x86-64-v2","packages":{"mmcv-full":"1.7.2"},"python":"3.11","schema":1,"torch":"2.13.0+cpu","variant":"cpu","without":[]}'
RUN --network=none \
    --mount=type=bind,from=steps,target=/mnt/steps \
    /mnt/steps/write-passport /opt/cellar/share/cellar/passport.json
LABEL org.opencontainers.image.title="BEVFormer cpu" \
      org.opencontainers.image.description="BEVFormer-tiny, its compiled operations and an evaluator that runs on one GPU or on the CPU; BEVFormer-tiny on the CPU, from the package index and Debian alone" \
      org.opencontainers.image.authors="The Cellar authors" \
      org.opencontainers.image.licenses="Apache-2.0 AND BSD-3-Clause" \
      org.opencontainers.image.documentation="images/bevformer/evaluator/README.md" \
      org.opencontainers.image.version="cpu" \
      cellar.cell="cpu" \
      cellar.isa="x86-64-v2" \
      cellar.gpu="" \
      cellar.passport="$PASSPORT"

WORKDIR /data

# ---- runtime: what evaluates ----
FROM packages AS runtime
ARG SOURCE_DATE_EPOCH
RUN --network=none \
    --mount=type=bind,from=steps,target=/mnt/steps \
    --mount=type=bind,from=wheelhouse,source=pip,target=/mnt/pip \
    --mount=type=bind,from=evaluator-wheel,target=/mnt/wheels \
    /mnt/steps/install-wheels /opt/cellar /mnt/pip /mnt/wheels
USER 1000:1000
CMD ["bevformer-eval", "--help"]

# ---- devel: the same, with the compilers of its ops ----
FROM packages AS devel
ARG SOURCE_DATE_EPOCH
RUN --network=none \
    --mount=type=bind,from=steps,target=/mnt/steps \
    --mount=type=bind,from=debs,source=toolchain,target=/mnt/debs \
    /mnt/steps/install-debs /mnt/debs
RUN --network=none \
    --mount=type=bind,from=steps,target=/mnt/steps \
    --mount=type=bind,from=wheelhouse,source=pip,target=/mnt/pip \
    --mount=type=bind,from=wheelhouse,source=build,target=/mnt/wheels \
    /mnt/steps/install-wheels /opt/cellar /mnt/pip /mnt/wheels
RUN --network=none \
    --mount=type=bind,from=steps,target=/mnt/steps \
    --mount=type=bind,from=wheelhouse,source=pip,target=/mnt/pip \
    --mount=type=bind,from=evaluator-wheel,target=/mnt/wheels \
    /mnt/steps/install-wheels /opt/cellar /mnt/pip /mnt/wheels
USER 1000:1000
CMD ["bash"]
