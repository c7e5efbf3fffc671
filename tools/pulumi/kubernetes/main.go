// The Kubernetes provider of Pulumi, as its own cmd/pulumi-resource-kubernetes: that one cannot be built from the published module, which
// lacks the two embedded files. The set-up makes them from the module's schema.json and terraform-mapping.json, as its generate.go does.
package main

import (
	_ "embed"

	"github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/provider"
	"github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/version"
)

//go:embed schema-embed.json
var schema []byte

//go:embed terraform-mapping-embed.json
var terraformMapping []byte

func main() {
	provider.Serve("kubernetes", version.Version, schema, terraformMapping)
}
