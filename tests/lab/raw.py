"""An SMTP client for those who do not keep to the rules: octets as they are, whatever they do to the conversation."""

from __future__ import annotations

from .smtp import Reply, SmtpClient


class RawSmtp(SmtpClient):
    """One connection, on which the content of a message is sent as it is given."""

    def hello(self, client: str, name: bytes | str) -> None:
        """As another client, by XCLIENT."""
        self.command("EHLO x")
        self.become(client)
        self.command(b"EHLO " + (name.encode() if isinstance(name, str) else name))

    def envelope(self, mail_from: bytes | str, options: str = "", recipient: bytes = b"bob@receiver.example") -> Reply:
        """MAIL, RCPT and DATA; the reply that is not as it should be, else that to DATA."""
        sender = mail_from.encode() if isinstance(mail_from, str) else mail_from
        for line in (b"MAIL FROM:<" + sender + b">" + options.encode(), b"RCPT TO:<" + recipient + b">", b"DATA"):
            reply = self.command(line)
            if reply.code >= 400:
                break
        return reply

    def content(self, octets: bytes) -> list[Reply]:
        """What follows DATA, the end included, and QUIT; every reply to any of it that the server gives."""
        self._socket.sendall(octets + b"QUIT\r\n")
        replies = [self._reply()]
        while replies[-1].code != 221:
            replies.append(self._reply())
        return replies[:-1]
