# One static binary, no shell, no root. Settings and mirror live in the volume.
FROM golang:1.26 AS build
WORKDIR /src
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o /chartcellar ./cmd/chartcellar

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /chartcellar /chartcellar
USER 10001:10001
VOLUME /data
ENV CHARTCELLAR_CONFIG=/data/settings/settings.toml
HEALTHCHECK --interval=10m CMD ["/chartcellar", "status"]
ENTRYPOINT ["/chartcellar"]
CMD ["status"]
