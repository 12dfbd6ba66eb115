"""The types of secrets of the scanner's set: how each provider's values look, as patterns only.

`{x36}` is 36 random letters and digits: no value stands here, only what values are made of.
`{x0}` is nothing: it keeps a pattern from being taken for a secret itself.
Classes: d digit, h hex, H upper hex, a lower letter, l lower letter or digit, U upper letter or
digit, L letter, x letter or digit, w as x with - and _, b base64, 2 base32; `{u}` is a UUID,
`{c30}` 30 of x and the checksum GitHub and npm add, `{j}` a signed JWT, `{p}` a password as people
make them up.
"""

from __future__ import annotations

#: Values that only their name shows: `type`, where it stands.
CONTEXTUAL = """
aws-secret aws_secret_access_key = {b40}
aws-secret-code AWS_SECRET_ACCESS_KEY: "{b40}"
aws-session aws_session_token = {b260}
azure-client-secret AZURE_CLIENT_SECRET={w34}
azure-storage-key AZURE_STORAGE_KEY={b86}==
azure-cognitive AZURE_OPENAI_KEY = "{h32}"
gcp-private-id "client_secret": "{w24}",
alibaba-secret ALIBABA_CLOUD_ACCESS_KEY_SECRET={x30}
datadog-api DD_API_KEY={h32}
datadog-app datadog_app_key: "{h40}"
twilio-auth TWILIO_AUTH_TOKEN='{h32}'
facebook-secret facebook_app_secret = "{h32}"
heroku HEROKU_API_KEY="{u}"
cloudflare-token CLOUDFLARE_API_TOKEN={w40}
cloudflare-global cloudflare_api_key: {h37}
algolia-admin algolia_admin_key = '{h32}'
pagerduty pagerduty_token: "{w20}"
auth0 auth0_client_secret: {w64}
spotify SPOTIFY_CLIENT_SECRET={h32}
twitter-secret twitter_api_secret = "{x50}"
github-client GITHUB_CLIENT_SECRET={h40}
okta-client "oktaClientSecret": "{w40}"
pusher pusher_secret = "{h20}"
travis travis_token: {x22}
codecov CODECOV_TOKEN: {u}
snyk SNYK_TOKEN={u}
jenkins JENKINS_API_TOKEN = "{h34}"
django SECRET_KEY = 'django-insecure-{w50}'
flask app.config["SECRET_KEY"] = "{h48}"
rails secret_key_base: {h128}
laravel APP_KEY=base64:{b43}=
jwt-secret JWT_SECRET={x48}
session-secret app.use(session({{ secret: '{x40}', resave: false }}))
encryption-key ENCRYPTION_KEY="{h64}"
wandb WANDB_API_KEY={h40}
deepgram deepgramApiKey: "{h40}"
cohere co = cohere.Client(api_key="{x40}")
mistral MISTRAL_API_KEY={x32}
openweather params = {{"appid": "x", "api_key": "{h32}"}}
postmark POSTMARK_SERVER_TOKEN={u}
discord-client DISCORD_CLIENT_SECRET = "{w32}"
linode linode_token = "{h64}"
hetzner HCLOUD_TOKEN={x64}
scaleway SCW_SECRET_KEY={u}
fastly FASTLY_API_TOKEN: "{w32}"
bugsnag webhook_signing_secret: "{h64}"
elastic ELASTIC_PASSWORD={x20}
"""

#: Passwords in every form people write them in.
GENERIC = """
python PASSWORD = "{p}"
python-dict config = {{"host": "db", "password": "{p}"}}
python-kwarg conn = connect(host="db1", user="app", passwd="{p}")
python-attr self.db_password = '{p}'
python-default def login(user="admin", password="{p}"):
python-auth requests.get(url, auth=("deploy", "{p}"))
python-login server.login("mailer", "{p}")
yaml   password: {p}
yaml-quoted db_pass: "{p}"
yaml-nested auth: {{user: root, password: "{p}"}}
json   "password": "{p}",
json-camel "dbPassword":"{p}"
env DB_PASSWORD={p}
env-quoted SMTP_PASS="{p}"
shell export ADMIN_PASSWORD='{p}'
shell-inline PGPASSWORD={p} psql -h db -U app
dockerfile ENV MYSQL_ROOT_PASSWORD {p}
dockerfile-arg ARG DB_PASSWORD={p}
compose       - POSTGRES_PASSWORD={p}
ini password={p}
properties spring.datasource.password={p}
toml admin_password = "{p}"
xml-element <password>{p}</password>
xml-attribute <user name="admin" password="{p}"/>
java private static final String PASSWORD = "{p}";
java-call ds.setPassword("{p}");
go cfg := Config{{User: "app", Password: "{p}"}}
go-short dbPassword := "{p}"
ruby :password => "{p}",
php define('DB_PASSWORD', '{p}');
php-array 'password' => '{p}',
c-define #define ADMIN_PASSWORD "{p}"
csharp var password = "{p}";
rust let db_password = "{p}";
terraform   master_password = "{p}"
js-object const db = {{ user: 'root', password: '{p}' }};
js-fallback const pass = process.env.DB_PASS || "{p}";
ts-readonly readonly adminPassword: string = "{p}";
kotlin val storePassword: String = "{p}"
swift let apiSecret = "{p}"
powershell $password = "{p}"
powershell-secure ConvertTo-SecureString "{p}" -AsPlainText -Force
batch set DB_PASSWORD={p}
cli-long backup --user root --password {p} --all
cli-equals restore --db-password={p} dump.sql
cli-token tool login --token {x32}
mysql mysql -u root -p{p} app < dump.sql
sshpass sshpass -p '{p}' ssh deploy@10.0.0.4
curl-user curl -u deploy:{p} https://repo.acme.io/x
curl-long curl --user "deploy:{p}" -T a.tgz https://repo.acme.io/
wget wget --http-user=bot --http-password={p} https://repo.acme.io/x
docker-login docker login -u bot -p {p} registry.acme.io
redis-cli redis-cli -h cache -a {p} ping
header-basic Authorization: Basic {b40}
header-token headers = {{"X-Api-Key": "{x32}"}}
header-bearer "Authorization": "Bearer {w44}"
netrc machine repo.acme.io login bot password {p}
pgpass db.acme.io:5432:app:deploy:{p}
sql-identified CREATE USER 'app'@'%' IDENTIFIED BY '{p}';
sql-password ALTER ROLE app WITH LOGIN PASSWORD '{p}';
redis-conf requirepass {p}
npmrc //registry.acme.io/:_authToken={x36}
npmrc-auth //registry.acme.io/:_password={b24}
maven <server><id>x</id><password>{p}</password></server>
nuget <add key="ClearTextPassword" value="{p}" />
wifi psk="{p}"
ldap bindpw {p}
k8s-string stringData:\\n  password: {p}
k8s-data kind: Secret\\ndata:\\n  password: {b28}
ansible ansible_become_pass: {p}
markdown The admin password is `{p}`.
prose login with user admin / password: {p}
comment // password: {p}
csv user,password\\nadmin,{p}
"""

#: Passwords in addresses and connection strings.
CONNECTION = """
postgres DATABASE_URL=postgres://app:{p}@db.acme.io:5432/app
postgresql-python engine = create_engine("postgresql+psycopg2://app:{p}@10.1.2.3/app")
mysql url: mysql://root:{p}@mysql:3306/shop
mongodb "mongodb{x0}+srv://svc:{p}@cluster0.ab1cd.mongodb.net/test"
redis REDIS_URL=redis://:{p}@cache:6379/0
amqp broker_url = 'amqp://worker:{p}@rabbit:5672//'
https-basic git clone https://deploy:{p}@git.acme.io/app.git
https-token git remote add o https://oauth2:{x20}@git.acme.io/app.git
ftp ftp://backup:{p}@files.acme.io/daily
smtp EMAIL_URL=smtps://mailer:{p}@smtp.acme.io:465
jdbc jdbc:postgresql://db:5432/app?user=app&password={p}
jdbc-sqlserver jdbc:sqlserver://db:1433;databaseName=app;user=sa;password={p};
ado "Server=db;Database=app;User Id=sa;Password={p};Encrypt=true"
odbc DRIVER={{ODBC Driver 17}};SERVER=db;UID=sa;PWD={p}
azure-storage DefaultEndpointsProtocol=https;AccountName=acme;AccountKey={b86}==;EndpointSuffix=core.windows.net
azure-bus Endpoint=sb://acme.servicebus.windows.net/;SharedAccessKeyName=Root;SharedAccessKey={b43}=
azure-sas https://acme.blob.core.windows.net/c?sv=2022-11-02&sp=rw&sig={x42}%3D
kafka-jaas sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required username="k" password="{p}";
clickhouse clickhouse://default:{p}@ch:9000/logs
sentry-dsn SENTRY_DSN=https://{h32}:{h32}@sentry.acme.io/42
proxy HTTPS_PROXY=http://proxyuser:{p}@proxy.acme.io:3128
git-credentials https://bot:{x40}@github.com
"""  # noqa: E501 - as people write them
