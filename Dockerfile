# docker build -t malle-rt .                                     for processors
# docker build -t malle-rt --build-arg EXTRAS=web,watch,cuda .   for NVIDIA GPUs; docs/container.md
ARG BASE=debian:bookworm-slim

FROM ${BASE} AS build
ARG EXTRAS=web,watch
# The compiler builds the fused operator.
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 python3-venv g++ libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/*
COPY . /source
RUN python3 -m venv /opt/malle-rt && /opt/malle-rt/bin/pip install --no-cache-dir "/source[${EXTRAS}]"

FROM ${BASE}
# OpenCV's wheel wants the two libraries.
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 malle \
    && mkdir /work \
    && chown malle:malle /work
COPY --from=build /opt/malle-rt /opt/malle-rt
COPY tools/container_health.py /opt/malle-rt/health.py
ENV PATH=/opt/malle-rt/bin:$PATH PYTHONUNBUFFERED=1
USER malle
WORKDIR /work
EXPOSE 8077
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s CMD ["/opt/malle-rt/bin/python", "/opt/malle-rt/health.py"]
ENTRYPOINT ["malle-rt"]
CMD ["--help"]
