"""Types of secrets with a prefix of their vendor, and where they are written."""

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
