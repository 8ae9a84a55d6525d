"""The program as installed, in a hurry: leases of ten seconds, a minute's pauses before retries.

An hour then holds leases that run out under their holder, and deliveries that failed often.
"""

from datetime import timedelta

import pipeline
import review.delivery

LEASE_S = 10
_PAUSES_S = (1, 1, 2, 2, 4, 4, *[8] * 60)

if __name__ == "__main__":
    pipeline.LEASE = review.delivery._LEASE = timedelta(seconds=LEASE_S)
    review.delivery.PAUSES_S = _PAUSES_S
    pipeline.main()
