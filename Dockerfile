# Throughline in a container: the binary on an image without a shell, as an account that is not root.
#
#   docker build -t throughline .
#   docker run -p 80:8000 -v ./throughline.yaml:/etc/throughline/throughline.yaml:ro -v state:/var/lib/throughline throughline
#
# Health: GET /healthz and /readyz on the admin port, from outside. There is no shell and no curl in here, so
# there is no HEALTHCHECK either; conf/guides/running.md says what to ask instead.

FROM rust:1.95-bookworm AS build
# cmake builds zlib-ng. Debian's own version is the right one, whichever it is.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends cmake \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cargo build --release --locked --bin throughline
# The folder that a new volume takes its owner from.
RUN install -d -m 0700 /image/var/lib/throughline \
    && install -D -m 0755 target/release/throughline /image/usr/bin/throughline \
    && install -D -m 0644 conf/docker/throughline.yaml /image/etc/throughline/throughline.yaml

# glibc, the certificates of authorities, and nothing else. 65532 is its account `nonroot`.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /image/usr /usr
COPY --from=build /image/etc/throughline /etc/throughline
COPY --from=build --chown=65532:65532 /image/var/lib/throughline /var/lib/throughline
USER 65532:65532
WORKDIR /var/lib/throughline
VOLUME /var/lib/throughline
EXPOSE 8000 9180
# The process finishes what is under way, at most for limits.shutdown_grace: give `docker stop` more time than that.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/bin/throughline"]
CMD ["run", "-c", "/etc/throughline/throughline.yaml"]
