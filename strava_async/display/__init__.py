"""Shows a running harvest (extra ``cli``): a panel on a terminal, lines elsewhere, and JSON for machines.

``observer`` looks at a harvest and makes a ``Frame`` of it; a ``Screen`` shows that: ``panel.LiveScreen``,
``plain.PlainScreen`` or ``events.EventScreen``. ``watch.shown`` keeps one up to date. ``wording`` has the words that
they share.
"""
