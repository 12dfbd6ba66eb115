"""The dashboard in Debian's Chromium, on a real API.

Slow: each test starts a browser and follows pages whose events arrive in real time.
"""
