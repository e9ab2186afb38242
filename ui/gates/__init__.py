"""What stands between the network and the application: plain ASGI wrappers, one concern each.

Measured reasons: Gradio accepts any Host header, lets pages of most other sites in, believes what headers say of its
own address, serves routes that this application does not use, sends no security headers, and does not slow down wrong
logins.
"""
