"""An hour in the life of a support team, where something breaks every half minute: ``make soak``.

Mail comes into a real Dovecot all the time, ``watch`` and scheduled runs read it, people decide on
the review page, webhooks go to a receiver. Every 30 seconds trouble strikes, of a sort that a seed
chooses (``troubles``). Then comes quiet, and ``judged`` looks at it all from outside: each mail
stored once, each decision carried out once, the audit trail whole, no process that has grown.

    MINUTES=60 DATABASE=postgres SEED=1 make soak      # or DATABASE=sqlite; MINUTES=2 for a slice

``EVERY`` sets the seconds from one trouble to the next, ``LOGS`` a folder for what programs said.
"""
