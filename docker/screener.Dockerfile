# The screener: `docker build -f docker/screener.Dockerfile -t asterisk-screener .`
#
# Debian's own Python rather than an image with another one: it is patched with the system.
ARG DEBIAN=12.15-slim

# ---------------------------------------------------------------- build: stays behind
FROM debian:${DEBIAN} AS build
RUN apt-get update && apt-get install -y --no-install-recommends python3 python3-venv
WORKDIR /src
COPY requirements.txt requirements-dev.txt ./
RUN python3 -m venv /opt/screener \
 && /opt/screener/bin/pip install --no-cache-dir --require-hashes -r requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY config config
COPY dialplan dialplan
COPY packaging packaging
COPY scripts scripts
COPY screener screener
# The extras, and what builds the wheel, at the versions that were tested; a constraint with hashes would
# want one of the wheel itself. Files that were cloned with a strict umask are made readable for all.
RUN sed -n 's/^\([a-zA-Z0-9._-]*==.*\) \\$/\1/p' requirements-dev.txt >/tmp/versions \
 && PIP_CONSTRAINT=/tmp/versions /opt/screener/bin/pip install --no-cache-dir '.[audio,notify,postgres]' \
 && /opt/screener/bin/pip uninstall -y pip setuptools \
 && chmod -R a+rX /opt/screener

# ---------------------------------------------------------------- the image
FROM debian:${DEBIAN} AS screener
# Asterisk's group by the number that it has in asterisk.Dockerfile: recordings are shared by it.
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates python3 tzdata \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --gid 10100 asterisk \
 && groupadd --gid 10101 screener \
 && useradd --uid 10101 --gid 10101 --groups asterisk --no-create-home --home-dir /nonexistent \
    --shell /usr/sbin/nologin screener \
 && install -d -o 10101 -g 10101 -m 700 /var/lib/screener \
 && install -d -o 10101 -g 10100 -m 2770 /var/spool/asterisk/screener
COPY --from=build /opt/screener /opt/screener
ENV PATH=/opt/screener/bin:/usr/bin:/bin PYTHONDONTWRITEBYTECODE=1
USER 10101
VOLUME ["/var/lib/screener"]
# Whether the loop that screens calls answers, as `screener status` asks it, for a fiftieth of its cost: a service
# that hangs is unhealthy, one that waits for Asterisk is not.
HEALTHCHECK --interval=10s --timeout=10s --start-period=60s --retries=2 CMD ["/usr/bin/python3", "-IS", "-c", \
    "import socket as s; c = s.socket(s.AF_UNIX); c.settimeout(9); c.connect('/var/lib/screener/screener.sock'); \
c.sendall(b'{\"command\": \"status\"}\\n'); raise SystemExit(not c.recv(1))"]
ENTRYPOINT ["screener"]
CMD ["run"]

# ---------------------------------------------------------------- the test of compose.test.yaml
FROM screener AS test
USER 0
RUN apt-get update && apt-get install -y --no-install-recommends sip-tester \
 && rm -rf /var/lib/apt/lists/*
COPY tests/docker /test
RUN chmod -R a+rX /test
USER 10101
HEALTHCHECK NONE
ENTRYPOINT ["python3", "/test/calls.py"]
CMD []
