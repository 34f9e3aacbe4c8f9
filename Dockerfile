# Two images, a target each:
#
#   docker build --target api    -t ghcr.io/your-org/mini-api:1.0.0 .
#   docker build --target worker -t ghcr.io/your-org/mini-worker:1.0.0 .
#
# `podman build` and `buildah build` take the same arguments. Dependencies have a layer of their own, which a change of our code leaves
# alone. The builder's Debian must not be newer than the runtime's: its glibc is what the binaries ask for.
ARG RUST_VERSION=1.95

FROM rust:${RUST_VERSION}-slim-bookworm AS chef
RUN cargo install cargo-chef --locked --version 0.1.78
WORKDIR /src

# The recipe: manifests and the lock file, and nothing that changes with our code.
FROM chef AS planner
COPY . .
RUN cargo chef prepare --recipe-path recipe.json

FROM chef AS builder
COPY --from=planner /src/recipe.json recipe.json
RUN cargo chef cook --release --locked --recipe-path recipe.json --package api --package worker --package schema --bins
COPY . .
RUN cargo build --release --locked --package api --package worker --package schema --bins

# glibc, libgcc, certificates, time zones; no shell. A numeric user: Kubernetes cannot tell that a name is not root.
FROM gcr.io/distroless/cc-debian12:nonroot AS runtime
USER 65532:65532

FROM runtime AS api
ARG VERSION=1.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="mini-api" \
      org.opencontainers.image.description="Taskrow's HTTP API" \
      org.opencontainers.image.source="https://github.com/your-org/taskrow" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=builder /src/target/release/api /usr/local/bin/
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/api"]

# Also carries `migrate`, for the Job db-init; `worker cleanup` is the CronJob's.
FROM runtime AS worker
ARG VERSION=1.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="mini-worker" \
      org.opencontainers.image.description="Taskrow's worker, and the migrations" \
      org.opencontainers.image.source="https://github.com/your-org/taskrow" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=builder /src/target/release/worker /src/target/release/migrate /usr/local/bin/
EXPOSE 8081
ENTRYPOINT ["/usr/local/bin/worker"]
