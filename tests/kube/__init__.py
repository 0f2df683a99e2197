"""Emulates a Kubernetes cluster on this machine for tests: an in-memory API server, controllers, and pods as processes.

Its clients are real: kubectl, Dask's operator, KubeCluster, and hrrr-dask. Not emulated are images (a pod runs what is
installed here), file systems, memory and CPU limits, network policies, ``exec``, and the schedules of CronJobs.

======================  ============================================================================================
``store``               objects, their versions, and watches
``checking``            validation, pruning and defaults of objects
``patches``             the four kinds of patches; ``selectors``: label and field selectors
``rights``              permissions
``api``                 the HTTP interface; ``discovery``: API discovery; ``streams``: logs and port forwarding
``controllers``         Deployments, Jobs, and garbage collection
``services``            DNS names and proxies from services to pods; ``network``: addresses and ports
``kubelet``             pods on one node; ``containers``: their processes
``running``             starts and stops the cluster and the operator
======================  ============================================================================================
"""
