"""An AWS region on one machine: moto behind an overlay of ours.

Requests come in through `front`. An action that moto gets wrong for us is implemented here (`actions`
is the registry; one file per kind of resource); every other action goes to moto. Objects of ours live
in moto's own collections, so that the parts of moto that look for instances, addresses or volumes
find them.
"""
