# BEVFormer, cell cu124: CUDA 12.4 from Debian itself, with the torch that the package index pairs with it.
# Made by `cellar render`; do not edit. `cellar build` hands in the named contexts below, all from
# the store: no step has a network, and no stage comes from a registry.
#
#   bootstrap  the files of Debian trixie's essential packages, as an OCI image
#   debs       the locked Debian packages, a folder for each group
#   wheelhouse the locked wheels, a folder for each image layer; pip's own in pip/
#   sources    the sources of the ops, a folder for each, edits.yaml applied
#   evaluator  the evaluator's source tree
#   rootfs     files that the image holds as they are
#   steps      the scripts that the RUN lines call
#   ops        (in place of the stage) the op wheels, where the store has them

# Seconds since 1970: the time of every file, of the image and of its history.
ARG SOURCE_DATE_EPOCH=1690387578

# ---- base: Debian trixie, installed by its own dpkg ----
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
ENV CUDA_HOME="/usr" \
    NVIDIA_VISIBLE_DEVICES="all" \
    NVIDIA_DRIVER_CAPABILITIES="compute,utility" \
    NVIDIA_REQUIRE_CUDA="" \
    PATH="/opt/cellar/bin:/usr/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" \
    LANG="C.UTF-8" \
    PYTHONNOUSERSITE="1" \
    HOME="/tmp" \
    USER="cellar"
RUN --network=none \
    --mount=type=bind,from=steps,target=/mnt/steps \
    --mount=type=bind,from=rootfs,target=/mnt/rootfs \
    /mnt/steps/make-environment /opt/cellar python3.13 1000 /data

# ---- torch: what all else is compiled against; no layer above 1 GiB ----
FROM python AS torch
ARG SOURCE_DATE_EPOCH
RUN --network=none \
    --mount=type=bind,from=steps,target=/mnt/steps \
    --mount=type=bind,from=wheelhouse,source=pip,target=/mnt/pip \
    --mount=type=bind,from=wheelhouse,source=torch-1,target=/mnt/wheels \
    /mnt/steps/install-wheels /opt/cellar /mnt/pip /mnt/wheels
RUN --network=none \
    --mount=type=bind,from=steps,target=/mnt/steps \
    --mount=type=bind,from=wheelhouse,source=pip,target=/mnt/pip \
    --mount=type=bind,from=wheelhouse,source=torch-2,target=/mnt/wheels \
    /mnt/steps/install-wheels /opt/cellar /mnt/pip /mnt/wheels
RUN --network=none \
    --mount=type=bind,from=steps,target=/mnt/steps \
    --mount=type=bind,from=wheelhouse,source=pip,target=/mnt/pip \
    --mount=type=bind,from=wheelhouse,source=torch-3,target=/mnt/wheels \
    /mnt/steps/install-wheels /opt/cellar /mnt/pip /mnt/wheels
RUN --network=none \
    --mount=type=bind,from=steps,target=/mnt/steps \
    --mount=type=bind,from=wheelhouse,source=pip,target=/mnt/pip \
    --mount=type=bind,from=wheelhouse,source=torch-4,target=/mnt/wheels \
    /mnt/steps/install-wheels /opt/cellar /mnt/pip /mnt/wheels
RUN --network=none \
    --mount=type=bind,from=steps,target=/mnt/steps \
    --mount=type=bind,from=wheelhouse,source=pip,target=/mnt/pip \
    --mount=type=bind,from=wheelhouse,source=torch-5,target=/mnt/wheels \
    /mnt/steps/install-wheels /opt/cellar /mnt/pip /mnt/wheels

# ---- ops: what is compiled against this torch, for x86-64-v2 and compute capability 7.0;7.5;8.0;8.6;9.0 ----
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
ENV CC="gcc-13" \
    CXX="g++-13" \
    CFLAGS="-march=x86-64-v2 -mtune=generic -g0 -ffile-prefix-map=/build=." \
    CXXFLAGS="-march=x86-64-v2 -mtune=generic -g0 -ffile-prefix-map=/build=." \
    MMCV_WITH_OPS="1" \
    FORCE_CUDA="1" \
    TORCH_CUDA_ARCH_LIST="7.0;7.5;8.0;8.6;9.0" \
    NVCC_APPEND_FLAGS="--objdir-as-tempdir -Xcompiler -march=x86-64-v2 -Xcompiler -mtune=generic"
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

FROM ops-build AS build-mmdet
ARG SOURCE_DATE_EPOCH
ARG COLD=""
ARG JOBS=""
RUN --network=none \
    --mount=type=bind,from=steps,target=/mnt/steps \
    --mount=type=bind,from=wheelhouse,source=pip,target=/mnt/pip \
    --mount=type=bind,from=sources,source=mmdet,target=/mnt/sources \
    --mount=type=cache,id=cellar-objects,target=/mnt/objects \
    /mnt/steps/build-wheels /opt/cellar /mnt/pip /mnt/sources /wheels

FROM scratch AS op-mmdet
COPY --from=build-mmdet /wheels /

FROM ops-build AS build-mmsegmentation
ARG SOURCE_DATE_EPOCH
ARG COLD=""
ARG JOBS=""
RUN --network=none \
    --mount=type=bind,from=steps,target=/mnt/steps \
    --mount=type=bind,from=wheelhouse,source=pip,target=/mnt/pip \
    --mount=type=bind,from=sources,source=mmsegmentation,target=/mnt/sources \
    --mount=type=cache,id=cellar-objects,target=/mnt/objects \
    /mnt/steps/build-wheels /opt/cellar /mnt/pip /mnt/sources /wheels

FROM scratch AS op-mmsegmentation
COPY --from=build-mmsegmentation /wheels /

FROM ops-build AS build-fvcore
ARG SOURCE_DATE_EPOCH
ARG COLD=""
ARG JOBS=""
RUN --network=none \
    --mount=type=bind,from=steps,target=/mnt/steps \
    --mount=type=bind,from=wheelhouse,source=pip,target=/mnt/pip \
    --mount=type=bind,from=sources,source=fvcore,target=/mnt/sources \
    --mount=type=cache,id=cellar-objects,target=/mnt/objects \
    /mnt/steps/build-wheels /opt/cellar /mnt/pip /mnt/sources /wheels

FROM scratch AS op-fvcore
COPY --from=build-fvcore /wheels /

FROM ops-build AS build-antlr4-python3-runtime
ARG SOURCE_DATE_EPOCH
ARG COLD=""
ARG JOBS=""
RUN --network=none \
    --mount=type=bind,from=steps,target=/mnt/steps \
    --mount=type=bind,from=wheelhouse,source=pip,target=/mnt/pip \
    --mount=type=bind,from=sources,source=antlr4-python3-runtime,target=/mnt/sources \
    --mount=type=cache,id=cellar-objects,target=/mnt/objects \
    /mnt/steps/build-wheels /opt/cellar /mnt/pip /mnt/sources /wheels

FROM scratch AS op-antlr4-python3-runtime
COPY --from=build-antlr4-python3-runtime /wheels /

FROM ops-build AS build-bevformer
ARG SOURCE_DATE_EPOCH
ARG COLD=""
ARG JOBS=""
RUN --network=none \
    --mount=type=bind,from=steps,target=/mnt/steps \
    --mount=type=bind,from=wheelhouse,source=pip,target=/mnt/pip \
    --mount=type=bind,from=sources,source=bevformer,target=/mnt/sources \
    --mount=type=cache,id=cellar-objects,target=/mnt/objects \
    /mnt/steps/build-wheels /opt/cellar /mnt/pip /mnt/sources /wheels

FROM scratch AS op-bevformer
COPY --from=build-bevformer /wheels /

FROM ops-build AS build-detectron2
ARG SOURCE_DATE_EPOCH
ARG COLD=""
ARG JOBS=""
RUN --network=none \
    --mount=type=bind,from=steps,target=/mnt/steps \
    --mount=type=bind,from=wheelhouse,source=pip,target=/mnt/pip \
    --mount=type=bind,from=sources,source=detectron2,target=/mnt/sources \
    --mount=type=cache,id=cellar-objects,target=/mnt/objects \
    /mnt/steps/build-wheels /opt/cellar /mnt/pip /mnt/sources /wheels

FROM scratch AS op-detectron2
COPY --from=build-detectron2 /wheels /

FROM ops-build AS build-mmdet3d
ARG SOURCE_DATE_EPOCH
ARG COLD=""
ARG JOBS=""
RUN --network=none \
    --mount=type=bind,from=steps,target=/mnt/steps \
    --mount=type=bind,from=wheelhouse,source=pip,target=/mnt/pip \
    --mount=type=bind,from=sources,source=mmdet3d,target=/mnt/sources \
    --mount=type=cache,id=cellar-objects,target=/mnt/objects \
    /mnt/steps/build-wheels /opt/cellar /mnt/pip /mnt/sources /wheels

FROM scratch AS op-mmdet3d
COPY --from=build-mmdet3d /wheels /

FROM scratch AS ops
COPY --from=op-mmcv-full / /
COPY --from=op-mmdet / /
COPY --from=op-mmsegmentation / /
COPY --from=op-fvcore / /
COPY --from=op-antlr4-python3-runtime / /
COPY --from=op-bevformer / /
COPY --from=op-detectron2 / /
COPY --from=op-mmdet3d / /

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
ARG PASSPORT='{"base":"Debian trixie","cell":"cu124","glibc":"2.41","gpu":{"cuda":"12.4","driver":{"linux":"525.60.13","windows":"527.41"},"ops":{"cubins":["7.0","7.5","8.0","8.6","9.0"],"ptx":[]},"ptx_driver":{"linux":"550.54.14","windows":"551.61"},"torch":{"cubins":["5.0","6.0","7.0","7.5","8.0","8.6","9.0"],"ptx":[]}},"image":"bevformer","isa":"x86-64-v2","packages":{"antlr4-python3-runtime":"4.9.3","bevformer":"0+2f37d0d4932b","detectron2":"0.6","fvcore":"0.1.5.post20221221","mmcv-full":"1.7.2","mmdet":"2.14.0","mmdet3d":"0.17.1","mmsegmentation":"0.14.1","torchvision":"0.21.0"},"python":"3.13","schema":1,"torch":"2.6.0","variant":"cu124","without":[]}'
RUN --network=none \
    --mount=type=bind,from=steps,target=/mnt/steps \
    /mnt/steps/write-passport /opt/cellar/share/cellar/passport.json
LABEL org.opencontainers.image.title="BEVFormer cu124" \
      org.opencontainers.image.description="BEVFormer-tiny, its compiled operations and an evaluator that runs on one GPU or on the CPU; CUDA 12.4 from Debian itself, with the torch that the package index pairs with it" \
      org.opencontainers.image.authors="The Cellar authors" \
      org.opencontainers.image.licenses="Apache-2.0 AND BSD-3-Clause" \
      org.opencontainers.image.documentation="images/bevformer/evaluator/README.md" \
      org.opencontainers.image.version="cu124" \
      cellar.cell="cu124" \
      cellar.isa="x86-64-v2" \
      cellar.gpu="7.0;7.5;8.0;8.6;9.0" \
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
ENV CC="gcc-13" \
    CXX="g++-13" \
    NVCC_PREPEND_FLAGS="-ccbin gcc-13"
USER 1000:1000
CMD ["bash"]
