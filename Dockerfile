# imageferry in a container: `ferry`, its addon and what they need at run time. Started by docker-compose.yml;
# docs/docker.md says how to run it and with which privileges.

# Any Debian 12 with Node.js 20, npm and Node's headers beside its binary (/usr/local/bin, /usr/local/include) will do.
ARG NODE_IMAGE=node:20-bookworm-slim

FROM ${NODE_IMAGE} AS build
# What compiles the addon; libnbd is what it speaks NBD with. None of it reaches the final image.
RUN apt-get update \
  && apt-get install --yes --no-install-recommends g++ make python3 libnbd-dev \
  && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/imageferry
# Packages before sources: a change in our code does not install them again.
COPY package.json package-lock.json .npmrc ./
RUN npm ci --no-fund --no-audit
COPY . .
RUN npm run build && npm prune --omit=dev --no-fund --no-audit

FROM ${NODE_IMAGE}
# NBD, and QEMU's tools for `ferry upload` of qcow2 and other images.
RUN apt-get update \
  && apt-get install --yes --no-install-recommends libnbd0 qemu-utils \
  && rm -rf /var/lib/apt/lists/*
# No root unless it is asked for: the API needs none. Nodes do for block devices (docker-compose.yml says why).
# A number of its own: the next free one is what the Redis image calls redis, and they share a volume.
RUN groupadd --gid 10001 ferry \
  && useradd --uid 10001 --gid ferry --home-dir /nonexistent --shell /usr/sbin/nologin ferry \
  && install --directory --owner ferry --group ferry --mode 0750 /var/lib/imageferry \
  && ln -s /opt/imageferry/dist/services/cli/main.js /usr/local/bin/ferry
WORKDIR /opt/imageferry
COPY package.json LICENSE ./
COPY --from=build /opt/imageferry/node_modules node_modules
COPY --from=build /opt/imageferry/dist dist
# The data plane's sockets lie in the data directory.
ENV NODE_ENV=production FERRY_DATA_DIR=/var/lib/imageferry
USER ferry
# No shell in between: signals reach ferry, and arguments are its own (`api`, `node`, `import …`).
ENTRYPOINT ["ferry"]
CMD ["--help"]
