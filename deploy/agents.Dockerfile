# The image of the sandboxes with the agent programs of npm beside Claude Code.
# Build with `make agents-image`; its context holds a Node.js 20 and `node_modules`. To add another
# program, change deploy/agents/package.json.
ARG SANDBOX_IMAGE=orchestrator-sandbox:local
FROM ${SANDBOX_IMAGE}
USER root
# Gemini CLI needs Node.js 20; Debian 12 has 18.
COPY node /usr/local/bin/node
# Where `npm install --global` puts them: a worker whose host has them there shows its own.
COPY node_modules /usr/local/lib/node_modules
RUN for program in codex gemini opencode claude-agent-acp; do \
        ln -s "../lib/node_modules/.bin/$program" "/usr/local/bin/$program"; \
    done
USER 10001:10001
CMD ["codex", "--version"]
