# The command, in an image with nothing else in it.
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o /out/cenote ./cmd/cenote

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/cenote /cenote
# What the demonstration's tasks read: a worker serves the files below its directory.
COPY --from=build /src/docs /files
USER 65532:65532
WORKDIR /files
ENTRYPOINT ["/cenote"]
