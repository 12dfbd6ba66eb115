"""A second set of secrets and look-alikes, of what public repositories hold; from a seed too.

It was written after the rules of the first set stood. Its `held_out` types were not looked at
while false positives were mended. The words of the patterns are those of `secret_types`.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.doubles.secret_maker import Case, Maker, as_file, rows

#: `type` and a line (or lines, `\\n`) that must not be flagged.
FIELD_LOOKALIKES = r"""
jwks-rsa {{"keys":[{{"kty":"RSA","use":"sig","kid":"{w27}","alg":"RS256","n":"{w342}","e":"AQAB"}}]}}
jwks-pretty   "kty": "RSA",\n  "n": "{w342}",\n  "e": "AQAB",\n  "kid": "{x22}"
jwks-ec {{"kty":"EC","crv":"P-256","x":"{w43}","y":"{w43}","kid":"{h40}"}}
jwks-okp {{"kty":"OKP","crv":"Ed25519","x":"{w43}","use":"sig"}}
jwks-x5c "x5t": "{w27}",\n"x5c": ["MIIC{b340}"]
jwk-python JWK = dict(kty="EC", crv="P-256", x="{w43}", y="{w43}")
jwk-thumbprint jkt: {w43}
stripe-publishable const stripe = Stripe("pk_live_{x24}");
stripe-publishable-env NEXT_PUBLIC_STRIPE_KEY=pk_test_51{x97}
stripe-publishable-yaml   stripe_pk: pk_test_{x24}
clerk-publishable VITE_CLERK_PUBLISHABLE_KEY=pk_test_{x43}
paystack-public PAYSTACK_PUBLIC_KEY=pk_live_{h40}
supabase-publishable SUPABASE_KEY=sb_publishable_{w22}_{w8}
flutterwave-public FLW_PUBLIC_KEY=FLWPUBK-{h32}-X
stripe-ids customer: cus_{x14}, price: price_{x24}, pi_{x24}
recaptcha-site data-sitekey="6L{w38}"
turnstile-site sitekey: "0x4AAAAAAA{w14}"
sentry-browser-dsn Sentry.init({{ dsn: "https://{h32}@o{d6}.ingest.sentry.io/{d7}" }});
analytics gtag('config', 'G-{U10}'); posthog.init('phc_{x43}')
vapid-public VAPID_PUBLIC_KEY="B{w86}"
minisign-public public key: RW{b54}
age-recipient age1{l58}
wireguard-peer [Peer]\nPublicKey = {b43}=\nAllowedIPs = 10.0.0.2/32
ssh-authorized ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQ{b340}== ci@host-12
ssh-ed25519-yaml   key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{b43}
ssh-sk sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29t{b88}
ssh-host-fingerprint SHA256:{b43} root@host (ED25519)
allowed-signers dev@acme.io namespaces="git" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{b43}
secret-arn TokenSecretArn: arn:aws:secretsmanager:us-east-1:{d12}:secret:prod/api-token-{x6}
secret-arn-json "valueFrom": "arn:aws:ssm:eu-west-1:{d12}:parameter/app/prod/DB_PASSWORD"
kms-arn kms_key_id = "arn:aws:kms:eu-central-1:{d12}:key/{u}"
role-arn role-to-assume: arn:aws:iam::{d12}:role/deploy-token-v2
kms-key-id KMS_KEY_ID={u}
secret-name-env DB_SECRET_NAME=prod-db-credentials-v2
secret-name-yaml secretName: api-tls-2031-04
secret-name-k8s   - secretRef:\n      name: app-secrets-v3
secret-key-ref   secretKeyRef:\n    name: postgres-15\n    key: password1
secret-gcp projects/acme-prod-42/secrets/db-password/versions/7
secret-gcp-env DB_PASSWORD_SECRET=projects/acme-prod-42/secrets/db-password/versions/latest
secret-azure @Microsoft.KeyVault(SecretUri=https://acme-kv2.vault.azure.net/secrets/DbPassword/{h32})
secret-op DB_PASSWORD="op://Prod v2/Database/password"
secret-vault-path path "secret/data/team-7/api_key_2" {{ capabilities = ["read"] }}
secret-aws-key-name ParameterKey=KeyName,ParameterValue=bastion-2031
secret-actions-input   token: ${{{{ inputs.token2 || github.token }}}}
secret-compose secrets:\n  db_password_2:\n    file: ./secrets/db_password_2.txt
secret-sealed kind: SealedSecret\nspec:\n  encryptedData:\n    password: AgA{b340}
secret-travis env:\n  - secure: "{b172}"
secret-age-block -----BEGIN AGE ENCRYPTED FILE-----\n{b64}\n{b64}\n-----END AGE ENCRYPTED FILE-----
aws-docs-id AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE
aws-docs-id-2 "AccessKeyId": "AKIAI44QH8DHBEXAMPLE",
aws-docs-sts "AccessKeyId": "ASIAIOSFODNN7EXAMPLE",
aws-docs-secret aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY
jwt-io token = "{J}"
jwt-io-bearer Authorization: Bearer {J}
github-docs-token GITHUB_TOKEN=ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
github-docs-token-2 token: ghp_1234567890abcdefghijklmnopqrstuvwxyz
openai-docs OPENAI_API_KEY=sk-...
openai-docs-2 OPENAI_API_KEY="sk-your-openai-key-here"
openai-docs-3 api_key="sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
anthropic-docs ANTHROPIC_API_KEY=sk-ant-your-key-here
slack-docs SLACK_BOT_TOKEN=xoxb-your-bot-token
slack-docs-2 SLACK_WEBHOOK=https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX
stripe-docs stripe.api_key = "sk_test_xxxxxxxxxxxxxxxxxxxxxxxx"
basic-docs Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==
basic-docs-2 Authorization: Basic dXNlcm5hbWU6cGFzc3dvcmQ=
sri-link <link href="a.css" integrity="sha256-{b43}=" crossorigin>
sri-multi integrity="sha256-{b43}= sha512-{b86}=="
csp-hash script-src 'sha256-{b43}=' 'nonce-{w22}'
deno-lock "integrity": "sha512-{b86}=="
nix-hash hash = "sha256-{b43}=";
nix-store /nix/store/{l32}-openssl-3.0.12
docker-manifest "digest": "sha256:{h64}", "size": {d5}
bazel-sha sha256 = "{h64}",
terraform-h1     "h1:{b43}=",
terraform-zh     "zh:{h64}",
git-objects tree {h40}\nparent {h40}
git-log {h40} refs/tags/v1.2.3
gitlab-sha include:\n  ref: {h40}
uuid-token REQUEST_TOKEN_NAMESPACE: {u}
uuid-key <Key Id="{u}" />
uuid-client-id AZURE_CLIENT_ID={u}
azure-tenant AZURE_TENANT_ID: {u}
google-client-id GOOGLE_CLIENT_ID={d12}-{l32}.apps.googleusercontent.com
ulid-id event_id: 01{U24}
nanoid-slug <a href="/doc/{w21}">
msgid Message-ID: <{x24}.{d10}@mail.acme.io>
changeme-2 DB_PASSWORD=changeme123
changeme-3 password: "ChangeMe!"
angle-2 TOKEN=<token>
angle-3 apiKey: "<YOUR_API_KEY_1>"
brace-2 API_TOKEN=${{TOKEN}}
brace-3 password="${{DB_PASS:-changeme}}"
xxxx-2 secret: xxxx-xxxx-xxxx-xxxx
square-2 password=[REDACTED]
stars-2 token=ghp_************************************
dots-2 AWS_SECRET_ACCESS_KEY=wJal...EKEY
ellipsis SECRET_KEY = "django-insecure-..."
put-here api_key: PUT_YOUR_API_KEY_HERE_2
example-url postgres://user:pass@localhost/db
example-url-2 postgresql://postgres:postgres@localhost:5432/app_test
example-url-3 amqp://guest:guest@rabbit:5672/
example-url-4 mongodb://username:password@host1:27017,host2:27017/db
example-url-5 https://user:token@git.example.com/a.git
npm-range "minipass": "npm:^7.1.2",
npm-workspace "passport-utils": "workspace:^1.2.3",
npm-range-2 "keyv": ">=4.5.3 <6.0.0",
pip-range passlib[bcrypt]==1.7.4
pip-range-2 keyring>=24.3.1,<26
mypass-import from passlib.hash import pbkdf2_sha256
compass compass: "north-by-2"
bypass-code bypass = "v1.2.3-rc.4"
token-name const TOKEN_KEY = "acme_session_v2";
key-code keyCode: 13, key: "F12"
keyboard key = "ctrl+shift+k2"
cache-key-2 cache-key: pip-v3-linux-3.11
storage-path key: "uploads/2031/04/02/report-12.pdf"
token-limit "tokenLimit": "128k-2",
password-test assert validate("password1") is False
password-doc Passwords such as "hunter2" are refused.
password-prop password: PropTypes.string.isRequired2
hash-bcrypt password_hash: "$2b$12${b53}"
hash-argon "passwordHash": "$argon2id$v=19$m=65536,t=3,p=4${b22}${b43}"
hash-shadow root:$6${x16}${b86}:19000:0:99999:7:::
hash-django pbkdf2_sha256$260000${x22}${b43}=
signature X-Hub-Signature-256: sha256={h64}
signature-b64 <SignatureValue>{b340}==</SignatureValue>
cookie-name SESSION_COOKIE_NAME = "acme_sid_v2"
csrf-name csrfTokenHeader: "X-CSRF-Token-2"
openapi-security bearerFormat: JWT\n      scheme: bearer\n      type: http
asset-hash <script src="/assets/index-{w8}.js"></script>
sourcemap-vlq "mappings":"AAAA;AACA,SAAS{L40},{L20};{L30}"
snapshot exports[`token {d2}`] = `"{u}"`
css-module .token_{x5}__{x5} {{ color: red }}
svg-path <path d="M12.5 {d2}.3c{d3}.7-{d2}.1 {d2}.9"/>
wasm-b64 const wasm = "AGFzbQEAAAAB{b200}";
zip-b64 data = "UEsDBBQAAAAI{b200}"
gzip-b64 H4sIAAAAAAAA{b200}
png-b64 icon: "iVBORw0KGgoAAAANSUhEUgAA{b260}"
jpeg-b64 src="data:image/jpeg;base64,/9j/4AAQSkZJRgABAQ{b260}"
svg-b64 src="data:image/svg+xml;base64,PHN2ZyB4bWxucz0iaHR0cDovL3d3dy53My5vcmcvMjAwMC9zdmci{b60}"
hexdump 00000010: {h4} {h4} {h4} {h4} {h4} {h4} {h4} {h4}  ................
hex-words "\x7fELF\x02\x01\x01\x00" b"\xde\xad\xbe\xef\x{h2}\x{h2}\x{h2}\x{h2}"
unicode-text "\u00dcber \u4f60\u597d \u0410\u0411\u0412 token"
percent-url https://acme.io/?q=caf%C3%A9%20au%20lait&next=%2Flogin%3Ftoken%3D
"""  # noqa: E501 - as they stand in the field

#: Secrets as they stand in the field; none of these forms is in the first set.
FIELD_SECRETS = r"""
dockerfile-arg ARG NPM_TOKEN=npm_{c30}
compose-env     environment:\n      - REDIS_PASSWORD={p}
helm-values auth:\n  rootPassword: "{p}"
tfvars db_master_password = "{p}"
tf-provider provider "acme" {{\n  token = "{x40}"\n}}
pulumi-plain   app:dbPassword: {p}
ansible-vars vault_db_pass: "{p}"
github-step run: curl -H "X-Api-Key: {x40}" https://api.acme.io
gitlab-ci variables:\n  DEPLOY_TOKEN: "glpat-{w20}"
jenkins withEnv(['API_TOKEN={x40}'])
php-config 'db_password' => '{p}',
php-define define('DB_PASSWORD', '{p}');
rails-yml production:\n  secret_key_base: {h128}
django-key SECRET_KEY = "django-insecure-{w50}"
flask-key app.config["SECRET_KEY"] = "{x40}"
spring-yml   datasource:\n    password: {p}
java-final private static final String API_KEY = "{x40}";
kotlin val apiSecret = "{x40}"
swift let clientSecret = "{x40}"
csharp public const string ConnectionPassword = "{p}";
go-const const authToken = "{x40}"
go-struct cfg := Config{{Password: "{p}"}}
rust-const const API_SECRET: &str = "{x40}";
ruby-hash config = {{ :api_secret => "{x40}" }}
elixir config :acme, api_token: "{x40}"
lua local password = "{p}"
perl my $password = '{p}';
powershell $Password = "{p}"
batch set DB_PASSWORD={p}
fish set -x API_TOKEN {x40}
make-var API_TOKEN := {x40}
dart const apiKey = '{x40}';
json-nested {{"db": {{"user": "app", "password": "{p}"}}}}
json5-like {{ apiSecret: '{x40}', }}
xml-attr <user name="root" password="{p}"/>
xml-element <apiToken>{x40}</apiToken>
ini [smtp]\npassword = {p}
properties mail.smtp.password={p}
curl-header curl -H 'Authorization: token ghp_{c30}' https://api.github.com
curl-user curl -u admin:{p} https://acme.io
wget wget --password={p} ftp://acme.io/a
psql PGPASSWORD={p} psql -h db
mysql-cli mysql --user=root --password={p} app
http-url fetch("https://api.acme.io/v1?api_key={x40}")
url-creds git clone https://ci:{p}@git.acme.io/a.git
dsn-go dsn := "app:{p}@tcp(db:3306)/app"
dsn-mongo uri = "mongodb{x0}://app:{p}@m1:27017/app?authSource=admin"
comment-old # old password was {p}
readme Use the key `{x40}` as API key.
jsdoc  * @example client.login("admin", "{p}")
test-login client.post("/login", data={{"password": "{p}"}})
pytest-fixture return {{"Authorization": "Bearer {x40}"}}
env-example STRIPE_SECRET_KEY=sk_live_{x24}
openai-new client = OpenAI(api_key="sk-proj-{w74}T3BlbkFJ{w74}")
anthropic-new export ANTHROPIC_API_KEY=sk-ant-api03-{w93}AA
aws-pair aws_access_key_id = AKIA{216}\naws_secret_access_key = {b40}
slack-env SLACK_TOKEN=xoxb-{d12}-{d12}-{x24}
jwt-hs const token = "{j}"
pem-key key = `-----BEGIN RSA{x0} PRIVATE KEY-----\n{b64}\n{b64}\n{b64}\n-----END RSA{x0} PRIVATE KEY-----`
htpasswd-cmd htpasswd -b -c .htpasswd admin {p}
"""  # noqa: E501 - as they stand in the field

#: The token that jwt.io shows.
_JWT_IO = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"
    ".eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIyfQ"
    ".SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c"
)


def field_lookalikes(seed: int, each: int = 1) -> Iterator[Case]:
    """Make `each` cases of every type of look-alike."""
    maker = Maker(seed)
    for _ in range(each):
        for kind, pattern in rows(FIELD_LOOKALIKES):
            text, _ = maker.fill(pattern, J=_JWT_IO)
            yield Case(kind, "field-look-alike", as_file(text))


def field_secrets(seed: int, each: int = 1) -> Iterator[Case]:
    """Make `each` cases of every type of secret."""
    maker = Maker(seed)
    for _ in range(each):
        for kind, pattern in rows(FIELD_SECRETS):
            text, values = maker.fill(pattern)
            yield Case(kind, "field", as_file(text), values)
