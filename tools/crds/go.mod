// Modules that bring the CRDs of what the chart works with; nothing of them is built. Read by tests/kubernetes/crds.py.
module gpt-server/tools/crds

go 1.26.0

require (
	github.com/cert-manager/cert-manager v1.21.2
	github.com/kedacore/keda/v2 v2.21.0
	github.com/prometheus-operator/prometheus-operator v0.85.0
	sigs.k8s.io/gateway-api v1.6.3
)
