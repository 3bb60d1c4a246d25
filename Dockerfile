# ecg-monitor in a container: docs/install.md. Not a medical device.
FROM python:3.13-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY detector detector
COPY monitor monitor
RUN python -m venv --without-pip /opt/ecg-monitor \
    && python -m pip --python /opt/ecg-monitor/bin/python install --no-cache-dir .

FROM python:3.13-slim
COPY --from=build /opt/ecg-monitor /opt/ecg-monitor
ENV PATH=/opt/ecg-monitor/bin:$PATH HOME=/data PYTHONUNBUFFERED=1
RUN useradd --no-log-init --uid 10001 --home-dir /data ecg && install -d -o ecg -g ecg /data
USER 10001
WORKDIR /data
VOLUME /data
HEALTHCHECK --interval=30s --timeout=15s --start-period=60s \
    CMD ["ecg-monitor", "doctor", "--connect", "tcp://127.0.0.1:5556"]
ENTRYPOINT ["ecg-monitor"]
CMD ["--no-dashboard", "--journal", "/data/journal.sqlite"]
