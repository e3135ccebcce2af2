"""An SMTP server on loopback that keeps what it took and can fail at every step as real ones do."""

import socketserver
import threading
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any


@dataclass
class MailFake:
    """`answers` gives a step (HELO, AUTH, MAIL, RCPT, DATA, QUIT, or TAKEN after the message) another answer, once;
    an empty one hangs up.
    """

    port: int = 0
    answers: dict[str, str] = field(default_factory=dict)
    taken: list[EmailMessage] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    is_auth_offered: bool = False

    def start(self) -> None:
        """Listen on a free port, each connection in a thread of its own."""
        fake = self

        class Conversation(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                try:
                    fake.talk(self)
                except OSError:
                    return  # the other side hung up

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Conversation)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        """Stop listening; a repeat does nothing."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()

    def talk(self, peer: Any) -> None:
        """Answer one client until it says goodbye or we hang up."""
        if not self._say(peer, "HELO", "220 fake ESMTP"):
            return
        while line := peer.rfile.readline():
            step = line[:4].decode().upper()
            if step == "RCPT":
                self.recipients.append(line.decode().strip().partition(":")[2])
            answer = self._say(peer, step, self._usual(step))
            if answer.startswith("354"):
                self._take(peer)
                answer = self._say(peer, "TAKEN", "250 queued")
            if not answer or step == "QUIT":
                return

    def _take(self, peer: Any) -> None:
        content = b""
        while (line := peer.rfile.readline()) not in {b".\r\n", b""}:
            content += line[1:] if line.startswith(b"..") else line
        self.taken.append(message_from_bytes(content, policy=policy.default))

    def _usual(self, step: str) -> str:
        if step == "EHLO":
            return "250-fake\r\n250 AUTH PLAIN" if self.is_auth_offered else "250 fake"
        return {"DATA": "354 go on", "QUIT": "221 bye", "AUTH": "235 welcome"}.get(step, "250 fine")

    def _say(self, peer: Any, step: str, usual: str) -> str:
        said = self.answers.pop(step, usual)
        peer.wfile.write(f"{said}\r\n".encode() if said else b"")
        return said
