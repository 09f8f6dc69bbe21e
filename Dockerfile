# docker build -t tributary .
# docker run --env SOURCE_URL=… --env TARGET_URL=… --publish 127.0.0.1:9464:9464 tributary
#
# Without a configuration of its own it runs with config/tributary.toml, which is built in. Another one:
#   --volume ./tributary.toml:/etc/tributary/tributary.toml:ro --env TRIBUTARY_CONFIG=/etc/tributary/tributary.toml

FROM rust:1.95-bookworm@sha256:6258907abe69656e41cd992e0b705cdcfabcbbe3db374f92ed2d47121282d4a1 AS build
WORKDIR /build
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --release --locked --bin tributary \
    && install -D --strip target/release/tributary /out/tributary

FROM debian:bookworm-slim@sha256:3783cc01769c7b2b1b83a5c5ad96c815348e28ed7da68e2e3687004faa906251
# The system's certificates, for sslmode=verify-full.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/tributary /usr/local/bin/tributary
COPY LICENSE /usr/share/doc/tributary/LICENSE
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin tributary
USER 10001:10001
# From outside of the container the loopback is out of reach: set TRIBUTARY_HTTP_LISTEN=0.0.0.0:9464, and [http] token_file.
EXPOSE 9464
STOPSIGNAL SIGTERM
# Alive, not ready: a daemon that waits for a server or an operator is not to be restarted.
HEALTHCHECK --interval=15s --timeout=6s --start-period=30s --retries=3 \
    CMD ["tributary", "healthcheck"]
ENTRYPOINT ["tributary"]
CMD ["run"]
