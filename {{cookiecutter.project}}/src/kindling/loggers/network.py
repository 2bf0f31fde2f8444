"""Whether a server is there: the libraries of the services would wait and try again for minutes."""

import ssl
import threading
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

PATIENCE = 3  # seconds until a server that does not answer counts as out of reach


def answers(url: str) -> bool:
    """Whether something at `url` answers at all; in a thread, as the search for its address knows no time limit."""
    answered = threading.Event()

    def ask() -> None:
        try:
            urlopen(url, timeout=PATIENCE).close()
            answered.set()
        except (HTTPError, ssl.SSLError):
            answered.set()
        except URLError as error:
            if isinstance(error.reason, ssl.SSLError):  # the service may know certificates that Python does not
                answered.set()
        except (OSError, ValueError):
            pass

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PATIENCE + 1)
    return answered.is_set()
