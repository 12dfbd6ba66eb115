"""What looks like a secret and is none: each type as a pattern, in the words of `secret_types`."""

from __future__ import annotations

#: `type` and a line (or lines, `\\n`) that must not be flagged.
LOOKALIKES = r"""
sha1 commit {h40}
sha256 sha256:{h64}
md5 MD5 (app.tgz) = {h32}
git-range index {h7}..{h7} 100644
git-pin rev = "{h40}"
git-submodule Subproject commit {h40}
action-pin - uses: actions/checkout@{h40}
npm-integrity "integrity": "sha512-{b86}==",
npm-resolved "resolved": "https://packages.example.org/a/-/a-1.0.0.tgz#{h40}",
yarn-lock   integrity sha512-{b86}==
go-sum github.com/a/b v1.2.3 h1:{b43}=
pip-hash     --hash=sha256:{h64} \
cargo-lock checksum = "{h64}"
poetry-hash {{file = "a-1.0.whl", hash = "sha256:{h64}"}},
docker-digest FROM python@sha256:{h64}
sri <script src="a.js" integrity="sha384-{b64}" crossorigin></script>
etag ETag: "{h32}"
uuid request_id: {u}
uuid-code NAMESPACE = uuid.UUID("{u}")
uuid-url GET /api/v1/users/{u}/orders
object-id {{"_id": ObjectId("{h24}")}}
snowflake "message_id": "{d18}",
test-id data-testid="login-form-{h8}"
build-id asset "main.{h20}.js"
trace-id traceparent: 00-{h32}-{h16}-01
image ![logo](data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAA{b200})
font src: url(data:font/woff2;base64,d09GMgABAAAAA{b200});
source-map //# sourceMappingURL=data:application/json;base64,eyJ2ZXJzaW9uIjozLCJ{b120}
ssh-public ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQC{b300} dev@laptop
ssh-ed25519 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{b43} dev@laptop
known-hosts github.com ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAI{b100}=
public-pem -----BEGIN PUBLIC KEY-----\n{b64}\n{b64}\n{b64}\n-----END PUBLIC KEY-----
certificate -----BEGIN CERTIFICATE-----\n{b64}\n{b64}\n{b64}\n-----END CERTIFICATE-----
pgp-public -----BEGIN PGP PUBLIC KEY BLOCK-----\n\n{b64}\n{b64}\n-----END PGP PUBLIC KEY BLOCK-----
pgp-message -----BEGIN PGP MESSAGE-----\n\n{b64}\n{b64}\n-----END PGP MESSAGE-----
ansible-vault password: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  {d80}\n  {d80}
sops password: ENC[AES256_GCM,data:{b20},iv:{b43}=,tag:{b22}==,type:str]
pem-docs key = "-----BEGIN PRIVATE KEY-----\\n...\\n-----END PRIVATE KEY-----\\n"
pem-check if "-----BEGIN RSA PRIVATE KEY-----" in text:
public-key-name PUBLIC_KEY = "{h64}"
changeme password: changeme
changeme-env POSTGRES_PASSWORD=change_me_please
xxxx API_KEY=xxxxxxxxxxxxxxxxxxxxxxxx
stars password: "********"
dots token: "..."
angle api_key: <your-api-key>
your-key API_KEY="your_api_key_here"
your-secret client_secret = "YOUR_CLIENT_SECRET"
insert SECRET_KEY=insert-your-secret-key-here
replace token: REPLACE_ME_WITH_TOKEN
todo password = "TODO"
example-password PASSWORD=example-password
dummy api_key = "dummy-api-key"
fake token = "fake-token-for-tests"
test-password password="test"
password-password password: "password"
secret-secret secret = "secret"
none password = None
empty password = ""
boolean passwordRequired: true
null "token": null,
shell-var export DB_PASSWORD=${DB_PASSWORD}
shell-default PASSWORD="${DB_PASSWORD:-}"
shell-command TOKEN=$(cat /run/secrets/token)
shell-read read -s -p "Password: " PASSWORD
actions-secret token: ${{{{ secrets.GITHUB_TOKEN }}}}
jinja password: "{{{{ db_password }}}}"
jinja-lookup password: "{{{{ lookup('env', 'DB_PASSWORD') }}}}"
helm password: {{{{ .Values.auth.password | quote }}}}
terraform-var password = var.db_password
terraform-random password = random_password.db.result
python-env PASSWORD = os.environ["DB_PASSWORD"]
python-getenv api_key = os.getenv("ACME_API_KEY", "")
node-env const token = process.env.API_TOKEN;
java-env String password = System.getenv("DB_PASSWORD");
rust-env let token = env::var("API_TOKEN").unwrap();
go-env password := os.Getenv("DB_PASSWORD")
spring spring.datasource.password=${DB_PASSWORD}
percent set PASSWORD=%DB_PASSWORD%
settings client = Client(api_key=settings.ACME_API_KEY)
same self.password = password
input password = getpass.getpass("Password: ")
annotation def login(user: str, password: str, token: str | None = None) -> Session:
fetch-secret secret = get_secret_value(SecretId="prod/db/password")
vault-path secret_path = "secret/data/prod/database"
arn secret_arn: arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db-AbCdEf
secret-name secretName: my-app-tls-certificate
secret-ref secretKeyRef: {{name: db-credentials, key: postgres-password}}
password-file POSTGRES_PASSWORD_FILE: /run/secrets/postgres_password
token-url token_url = "https://auth.acme.io/oauth2/v2.0/token"
token-type token_type: "Bearer"
header-name API_KEY_HEADER = "X-Acme-Api-Key"
field-name password_field = "user_password"
label "password": "Passwort eingeben",
label-html <input type="password" name="password" placeholder="Password" autocomplete="current-password">
translation auth.password.reset.title=Reset your password
error-text raise ValueError("Invalid token: expected an identifier")
error-text-js throw new Error(`Token expired at ${{expiresAt}}, please login again`);
code-index token = tokens[position + 1]
code-call token = self.lexer.next_token()
code-js a.token="function",b.key="constructor"
max-tokens max_tokens = 4096
token-count token_count: 1048576
tokenizer tokenizer = AutoTokenizer.from_pretrained("bert-base-uncased")
token-css .token-keyword {{ color: #a6e22e; }}
event-key if (event.key === "ArrowLeft") {{ moveLeft(); }}
primary-key primary_key = "customer_account_id"
cache-key cache_key = f"user:{{user_id}}:permissions"
storage-key const STORAGE_KEY = "acme.user.preferences.v2";
sort-key sortKey: "createdAtDescending",
react-key <Row key="userProfileSettings" secret={{false}} />
translation-key key: "settings.profile.password.changed",
i18n t("login.password_is_too_short_and_simple")
regex PASSWORD_REGEX = "^(?=.*[A-Z])(?=.*[0-9]).{{8,}}$"
sql-param SELECT id FROM users WHERE name = :name AND password = :password
sql-example CREATE USER app IDENTIFIED BY '<password>';
sql-column password VARCHAR(255) NOT NULL,
url-local redis://localhost:6379/0
url-user ssh://git@github.com/acme/app.git
url-docs postgres://user:password@localhost:5432/db
url-docs-angle mysql://<user>:<password>@<host>/<db>
url-vars postgres://${{DB_USER}}:${{DB_PASSWORD}}@db/app
url-percent amqp://%(user)s:%(password)s@%(host)s//
url-f-string f"postgresql://{{user}}:{{password}}@{{host}}/{{name}}"
url-port http://proxy.acme.io:3128/path@2x.png
url-mail mailto:someone@acme.io?subject=password
curl-vars curl -u "$USER:$PASSWORD" https://acme.io
curl-bearer curl -H "Authorization: Bearer $TOKEN" https://acme.io
bearer-docs Authorization: Bearer <token>
bearer-template headers["Authorization"] = f"Bearer {{token}}"
basic-template Authorization: Basic {{{{ credentials }}}}
cli-stdin echo "$TOKEN" | docker login -u bot --password-stdin
cli-var tool login --token "$ACME_TOKEN"
cli-help   --password PASSWORD    the password to log in with
cli-option @click.option("--password", prompt=True, hide_input=True)
cli-argparse parser.add_argument("--api-key", help="key of the API, see the docs")
cli-mysql mysql -u root -p app < dump.sql
mkdir-p mkdir -p build/output/Release2024
publishable STRIPE_PUBLISHABLE_KEY = "pk_{a8}"
aws-docs aws_access_key_id = AKIAIOSFODNN7EXAMPLE
sentence The token is checked before the secret is read, and the password is never stored.
sentence-colon Secret: nobody knows how the password policy came to be.
lorem Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor {a12}
changelog - fix: password reset token was not invalidated (#4821)
semver "api-key-auth": "^12.4.1",
import-js import {{ passwordStrength, TokenProvider }} from "@acme/auth-utils-2";
import-py from acme.security.password_hashing_v2 import PasswordHasher
hex-color --token-color: #{h6};
hex-bytes static const uint8_t table[] = {{ 0x{h2}, 0x{h2}, 0x{h2}, 0x{h2}, 0x{h2}, 0x{h2} }};
eth-address contract = "0x{h40}"
minified !function(e,t){{var n={{}};e.keys=t,n.token=e("tokenizer"),n.password_input=!0}}(this,{{}});
long-name getAuthenticationTokenFromSecureStorageProviderFactoryBean()
path token_file = "/var/lib/acme/tokens/session.json"
date token_expires_at: "2031-04-02T10:22:31Z"
number api_key_id = {d10}
prose-key The key to success: perseverance1000
enum PASSWORD_RESET = "password_reset_requested"
csv-header id,email,password,created_at
coordinates key: 52.520008,13.404954
fixture-hash "contentHash": "{h64}",
slug slug: how-to-rotate-your-api-keys-{d4}
"""  # noqa: E501 - as people write them
