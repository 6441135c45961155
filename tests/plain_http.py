"""For clients of what is served on this machine, without TLS: they need no certificates.

To load all that are trusted takes some 30 ms, and httpx does so for each client and for each ``httpx.get``.
"""

import ssl

NO_TRUST = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # knows no certificate, and so refuses any server with TLS
