"""What strangers wrote: read within bounds (`reading`), and made fit to be shown (`text`).

Names, licences, labels, hints and cards come from files, from the Hub and from plugins.  Nothing of
them may decide what a terminal does, which lines an error seems to have, or what a reader copies.
"""
