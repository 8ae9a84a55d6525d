"""Hostile mail against the review page in a real browser: ``make hostile``.

``vectors`` and ``envelopes`` are the corpus, ``mutating`` makes more of it, ``canary`` is where
whatever gets out is caught, ``watching`` notes what a browser does, ``campaign`` shows mails to it,
and ``weakened`` takes the page's defences away, one at a time, to show what each is worth and that
the campaign sees what it must.
"""
