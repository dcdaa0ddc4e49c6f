# One static binary, no shell, no root. Settings and mirror live in the volume.
FROM golang:1.26 AS build
WORKDIR /src
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o /chartcellar ./cmd/chartcellar
# Folders for a user who may make none: the volume, and /tmp for the demo.
RUN mkdir -p /folders/data /folders/tmp && chmod 0700 /folders/data && chmod 1777 /folders/tmp

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /chartcellar /chartcellar
COPY --from=build --chown=10001:10001 /folders/ /
USER 10001:10001
# A named volume takes over the owner of /data; a folder of the computer must
# belong to 10001 before it is mounted.
VOLUME /data
ENV CHARTCELLAR_CONFIG=/data/settings/settings.toml
# --health: bad only if the mirror cannot be opened or is damaged, not because the
# first pull is still to come or the last one waits for a decision.
HEALTHCHECK --interval=10m CMD ["/chartcellar", "status", "--health"]
ENTRYPOINT ["/chartcellar"]
# serve pulls by the schedule. Its pages are on 127.0.0.1 of the container, where only
# the container sees them: docs/service.md says how to reach them.
CMD ["serve"]
