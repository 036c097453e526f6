# An Asterisk to try the screener with, and to test it: `docker build -f docker/asterisk.Dockerfile .`
#
# Debian has Asterisk in testing only, which moves; the version asked for below does not.
ARG DEBIAN=testing-slim

FROM debian:${DEBIAN} AS prompts
RUN apt-get update && apt-get install -y --no-install-recommends espeak-ng sox
COPY scripts /src/scripts
COPY dialplan/prompts /src/dialplan/prompts
RUN /src/scripts/prompts /sounds && chmod -R a+rX /sounds

FROM debian:${DEBIAN}
# Its user first, so that the package takes the number that volumes are owned by.
RUN groupadd --gid 10100 asterisk \
 && useradd --uid 10100 --gid 10100 --no-create-home --home-dir /var/lib/asterisk --shell /usr/sbin/nologin asterisk \
 && apt-get update \
 && apt-get install -y --no-install-recommends 'asterisk=1:22.*' asterisk-core-sounds-en-gsm \
 && rm -rf /var/lib/apt/lists/* \
 && install -d -o 10100 -g 10100 -m 750 /run/ami /run/asterisk /var/spool/asterisk \
 && install -d -o 10101 -g 10100 -m 2770 /var/spool/asterisk/screener
COPY --from=prompts /sounds/en/screener /usr/share/asterisk/sounds/en/screener
COPY --from=prompts /sounds/zh/screener /usr/share/asterisk/sounds/zh/screener
COPY dialplan /etc/asterisk/screener
COPY docker/asterisk /etc/asterisk
# Files that were cloned with a strict umask would be read by root alone.
RUN mv /etc/asterisk/start /usr/local/bin/start && chmod 755 /usr/local/bin/start && chmod -R a+rX /etc/asterisk
USER 10100
VOLUME ["/run/ami", "/var/lib/asterisk", "/var/log/asterisk"]
EXPOSE 5060/udp
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s \
    CMD asterisk -rx 'core waitfullybooted' | grep -q 'fully booted'
ENTRYPOINT ["start"]
