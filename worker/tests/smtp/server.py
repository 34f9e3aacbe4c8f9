"""A mail server for tests: takes messages and prints them, parsed, one JSON object a line; what it is told by addresses it refuses.

    python server.py '{"tls": "starttls", "certificate": "..", "key": "..", "user": "..", "password": ".."}'

Listens on a free port of 127.0.0.1, which is its first line. Ends with its standard input. The recipient decides what happens:
refused@ 550 | greylisted@ 451 at the first time | stalled@ no answer to the message, until a line on standard input | cut@ the connection
breaks off after the message
"""

import asyncio
import email
import email.policy
import json
import logging
import ssl
import sys
import warnings

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

# Broken connections and open logins are what the tests are about.
warnings.simplefilter("ignore")
logging.getLogger("mail.log").setLevel(logging.CRITICAL)

settings = json.loads(sys.argv[1])
seen = set()
connections = 0
released = asyncio.Event()


def show(**what):
    print(json.dumps(what), flush=True)


def part(message):
    content = message.get_content()
    text = content if isinstance(content, str) else content.decode("latin-1")
    return {
        "type": message.get_content_type(),
        "filename": message.get_filename(),
        "disposition": message.get_content_disposition(),
        "content": text,
    }


class Handler:
    async def handle_EHLO(self, server, session, envelope, hostname):
        global connections
        if not hasattr(session, "number"):
            connections += 1
            session.number = connections
        session.host_name = hostname
        return "250 HELP"

    async def handle_RCPT(self, server, session, envelope, address, options):
        user = address.split("@")[0]
        if user == "refused":
            return "550 5.1.1 no such user"
        if user == "greylisted" and address not in seen:
            seen.add(address)
            return "451 4.7.1 come back later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        users = [address.split("@")[0] for address in envelope.rcpt_tos]
        raw = envelope.original_content
        message = email.message_from_bytes(raw, policy=email.policy.SMTP)
        show(
            sender=envelope.mail_from,
            recipients=envelope.rcpt_tos,
            headers=[[name, str(value)] for name, value in message.items()],
            parts=[part(one) for one in message.walk() if not one.is_multipart()],
            types=[one.get_content_type() for one in message.walk()],
            defects=[str(defect) for one in message.walk() for defect in one.defects],
            bare=b"\r" in raw.replace(b"\r\n", b"") or b"\n" in raw.replace(b"\r\n", b""),
            connection=session.number,
            encrypted=server.transport.get_extra_info("ssl_object") is not None,
            user=session.auth_data.login.decode() if session.auth_data else None,
        )
        if "stalled" in users:
            await released.wait()
        if "cut" in users:
            server.transport.abort()
            await asyncio.Event().wait()
        return "250 2.0.0 kept as 4711"


def authenticate(server, session, envelope, mechanism, data):
    assert isinstance(data, LoginPassword)
    right = data.login.decode() == settings["user"] and data.password.decode() == settings["password"]
    return AuthResult(success=right, handled=False, auth_data=data if right else None)


async def main():
    tls = settings.get("tls")
    context = None
    if tls:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(settings["certificate"], settings["key"])
    options = {"hostname": "mail.test", "ident": "test", "auth_require_tls": False}
    if "user" in settings:
        options |= {"authenticator": authenticate, "auth_required": True}
    if tls == "starttls":
        options |= {"tls_context": context, "require_starttls": True}
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(Handler(), loop=loop, **options), "127.0.0.1", 0, ssl=context if tls == "implicit" else None
    )
    show(port=server.sockets[0].getsockname()[1])
    while await loop.run_in_executor(None, sys.stdin.readline):
        released.set()
    # Whoever still talks is cut off.
    sys.exit(0)


asyncio.run(main())
