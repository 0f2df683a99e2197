"""A Kubernetes on this machine for tests: an API server in memory, its controllers, and pods that are processes.

What talks to it is real: kubectl, Dask's operator, KubeCluster, and hrrr-dask. Not imitated are images (a pod runs what
is installed here), file systems, memory and CPU limits, networks' policies, ``exec``, and the schedules of CronJobs.

======================  ============================================================================================
``store``               the objects, their versions, and who watches them
``checking``            what of an object is refused, and what is left out or filled in
``patches``             the four kinds of patches; ``selectors``: by labels and by fields
``rights``              who may do what
``api``                 the HTTP interface; ``discovery``: what it says of itself; ``streams``: logs and port forwarding
``controllers``         of Deployments and Jobs, and what deletes what has no owner any more
``services``            names, and the way from services to pods; ``network``: addresses and ports
``kubelet``             pods on one node; ``containers``: the processes in them
``running``             all of it, and the operator, for the length of a ``with`` block
======================  ============================================================================================
"""
