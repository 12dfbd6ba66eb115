# What an agent runs in: Claude Code, git, Python and Node, and nothing of the orchestrator.
# Build with `make sandbox-image`; its context holds the one file copied below. For the tools of
# a project, build FROM this image and name yours in the settings.
# No health check: a sandbox runs one program and ends with it.
ARG BASE_IMAGE=orchestrator-base:local
FROM ${BASE_IMAGE}

# The base of base-image.sh has the first four already.
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
        -o Dpkg::Options::=--force-unsafe-io \
        ca-certificates git python3 tini python3-venv nodejs procps >/dev/null \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/* /var/log/* \
    # Nothing in here may gain rights.
    && find / -xdev -perm /6000 -type f -exec chmod a-s {} +

# The program of the wheel claude-agent-sdk, whose version deploy/constraints.txt pins.
COPY claude /usr/local/bin/claude

# Only where no other is given: a sandbox runs as the owner of its workspace.
RUN useradd --uid 10001 --create-home agent
USER 10001:10001
WORKDIR /home/agent
# -s: where the engine puts an init of its own before it, ours reaps as well.
ENTRYPOINT ["/usr/bin/tini", "-s", "--"]
CMD ["claude", "--version"]
