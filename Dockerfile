# syntax=docker/dockerfile:1
# Airflow's own image with SVOps in it; nothing of Airflow's changes its version.
ARG AIRFLOW_IMAGE=apache/airflow:3.3.2

FROM ${AIRFLOW_IMAGE} AS build
COPY --chown=airflow:0 setup.cfg pyproject.toml README.md LICENSE /tmp/svops/
COPY --chown=airflow:0 dags /tmp/svops/dags
COPY --chown=airflow:0 svops_plugin /tmp/svops/svops_plugin
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /tmp/wheels /tmp/svops \
    && pip list --format=freeze > /tmp/wheels/image.txt

FROM ${AIRFLOW_IMAGE}
USER root
RUN install --directory --owner=airflow --group=0 --mode=0775 /srv/svops/data /srv/svops/output
USER airflow
RUN --mount=type=bind,from=build,source=/tmp/wheels,target=/tmp/wheels \
    pip install --no-cache-dir --constraint /tmp/wheels/image.txt "$(echo /tmp/wheels/svops_plugin-*.whl)[pipelines,s3]"
COPY --chown=airflow:0 dags ${AIRFLOW_HOME}/dags
