"""The types of secrets of the scanner's set: how each provider's values look, as patterns only.

`{x36}` is 36 random letters and digits: no value stands here, only what values are made of.
`{x0}` is nothing: it keeps a pattern from being taken for a secret itself.
Classes: d digit, h hex, H upper hex, a lower letter, l lower letter or digit, U upper letter or
digit, L letter, x letter or digit, w as x with - and _, b base64, 2 base32; `{u}` is a UUID,
`{c30}` 30 of x and the checksum GitHub and npm add, `{j}` a signed JWT, `{p}` a password as people
make them up.
"""

from __future__ import annotations

#: Values that show whose they are.
PREFIXED = """
github-pat ghp_{c30}
github-oauth gho_{c30}
github-user ghu_{c30}
github-server ghs_{c30}
github-refresh ghr_{x76}
github-fine-grained github_pat_{x22}_{x59}
gitlab-pat glpat-{w20}
gitlab-deploy gldt-{w20}
gitlab-runner glrt-{w20}
gitlab-trigger glptt-{h40}
gitlab-feed glft-{w20}
gitlab-agent glagent-{w50}
gitlab-oauth gloas-{h64}
gitlab-scim glsoat-{w20}
gitlab-job glcbt-{d2}_{w20}
bitbucket-app ATBB{x32}
atlassian ATATT3xFfGF0{w171}={H8}
aws-key-id AKIA{216}
aws-session-id ASIA{216}
google-api AIza{w35}
google-oauth GOCSPX-{w28}
google-access ya29.a0{w150}
alibaba-id LTAI{x20}
tencent-id AKID{x32}
yandex-api AQVN{w36}
azure-ad {x3}8Q~{w34}
azure-devops {x76}AZDO{x4}
digitalocean dop_v1_{h64}
digitalocean-oauth doo_v1_{h64}
heroku-v2 HRKU-AA{w58}
fly FlyV1 fm2_{b120}
vercel vcp_{x56}
netlify nfp_{x36}
render rnd_{x32}
supabase sbp_{h40}
supabase-secret sb_secret_{w22}_{w8}
planetscale pscale_tkn_{w43}
planetscale-password pscale_pw_{w43}
neon napi_{l64}
cloudflare-origin v1.0-{h24}-{h146}
doppler dp.pt.{x43}
doppler-service dp.st.prd.{x43}
vault hvs.{w95}
vault-batch hvb.{w150}
terraform {x14}.atlasv1.{w67}
pulumi pul-{h40}
infracost ico-{x32}
onepassword ops_eyJ{x260}
tailscale-auth tskey-auth-{x12}CNTRL-{x32}
tailscale-api tskey-api-{x12}CNTRL-{x32}
ngrok {x27}_{x21}
age AGE-SECRET-KEY-1{U58}
databricks dapi{h32}
dbt dbtc_{w43}
prefect pnu_{l36}
confluent cflt{b60}
slack-bot xoxb-{d12}-{d12}-{x24}
slack-user xoxp-{d12}-{d12}-{d12}-{h32}
slack-app xapp-1-A{U10}-{d13}-{h64}
slack-refresh xoxe-1-{x146}
slack-webhook https://hooks.slack.com/services/T{U10}/B{U10}/{x24}
discord-bot MT{x22}.G{x5}.{w38}
discord-webhook https://discord.com/api/webhooks/{d18}/{w68}
teams-webhook https://contoso.webhook.office.com/webhookb2/{u}@{u}/IncomingWebhook/{h32}/{u}
telegram {d10}:AA{w33}
twilio SK{h32}
sendgrid SG.{w22}.{w43}
mailgun key-{h32}
mailchimp {h32}-us12
brevo xkeysib-{h64}-{x16}
mailersend mlsn.{h64}
resend re_{x8}_{x24}
courier pk_prod_{U28}
stripe-live sk_live_{x24}
stripe-long sk_live_51{x97}
stripe-restricted rk_live_{x24}
stripe-test sk_test_{x24}
stripe-webhook whsec_{x32}
square-access EAAA{w60}
square-secret sq0csp-{w43}
shopify shpat_{h32}
shopify-shared shpss_{h32}
paystack sk_live_{h40}
razorpay rzp_live_{x14}
flutterwave FLWSECK-{h32}-X
plaid access-production-{u}
shippo shippo_live_{h40}
easypost EZAK{x54}
duffel duffel_live_{w43}
lob live_{h35}
adyen AQE{l5}hmf{b80}
openai-project sk-proj-{w74}T3BlbkFJ{w74}
openai sk-{x20}T3BlbkFJ{x20}
anthropic sk-ant-api03-{w93}AA
anthropic-admin sk-ant-admin01-{w93}AA
huggingface hf_{L34}
replicate r8_{x37}
groq gsk_{x52}
xai xai-{x80}
perplexity pplx-{x48}
openrouter sk-or-v1-{h64}
fireworks fw_{x24}
cerebras csk-{l48}
nvidia nvapi-{w64}
elevenlabs sk_{h48}
deepseek sk-{h32}
langsmith lsv2_pt_{h32}_{h10}
langfuse sk-lf-{u}
tavily tvly-dev-{x32}
pinecone pcsk_{x5}_{x63}
voyage pa-{w43}
firecrawl fc-{h32}
e2b e2b_{h40}
apify apify_api_{x36}
browserbase bb_live_{w27}
npm npm_{c30}
pypi pypi-AgEIcHlwaS5vcmc{w150}
rubygems rubygems_{h48}
crates cio{x32}
nuget oy2{l43}
clojars CLOJARS_{l60}
docker dckr_pat_{w27}
docker-org dckr_oat_{w32}
artifactory AKCp8{x69}
artifactory-ref cmVmdGtuOjAxO{x51}
packagist packagist_ort_{h68}
grafana-service glsa_{x32}_{h8}
grafana-cloud glc_eyJ{x90}
newrelic NRAK-{U27}
newrelic-insert NRII-{w32}
sentry-user sntryu_{h64}
sentry-org sntrys_eyJ{x90}=_{x43}
dynatrace dt0c01.{224}.{264}
posthog phx_{x43}
launchdarkly sdk-{u}
statsig secret-{x43}
segment sgp_{x64}
linear lin_api_{x40}
notion ntn_{d11}{x35}
airtable pat{x14}.{h64}
asana 2/{d16}/{d16}:{h32}
figma figd_{w40}
clickup pk_{d8}_{U32}
postman PMAK-{h24}-{h34}
readme rdme_xn8s9h{h64}
typeform tfp_{w44}_{w14}
mapbox sk.eyJ{x80}.{w22}
contentful CFPAT-{w43}
hubspot pat-na1-{u}
sonar squ_{h40}
sourcegraph sgp_{h16}_{h40}
buildkite bkua_{h40}
circleci CCIPAT_{x22}_{h40}
trigger tr_prod_{x24}
inngest signkey-prod-{h64}
deno ddp_{x36}
okta 00{w40}
dropbox sl.B{w135}
adobe p8e-{h32}
facebook EAAC{x170}
mattermost-like mm_{x26}
jwt {j}
cal cal_live_{h32}
novel-vendor acme_live_{x32}
novel-vendor-dash zq-{x40}
"""

#: Where values stand; the first eight say what they are. {k} is a name, {v} the value.
PREFIXED_PLACES = """
{K}_TOKEN = "{v}"
export {K}_API_KEY={v}
  {k}_token: {v}
  "{k}ApiKey": "{v}",
ENV {K}_SECRET={v}
{k}_key = "{v}"  # todo move
<add key="{K}Token" value="{v}" />
curl -H "Authorization: Bearer {v}" https://api.acme.io/v1
const client = new Client("{v}");
# {k}: for now use {v} instead
2031-04-02 10:22:31 INFO calling {k} with {v} (attempt 2)
fetch("https://api.acme.io/v1/items?limit=5&auth=" + "{v}")
    args: ["serve", "{v}", "--verbose"]
| {k} | {v} | staging |
client = {k}.connect('{v}', retries=3)
login {k} {v}
"""

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
