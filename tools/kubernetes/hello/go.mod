module flannel-ts/tools/kubernetes/hello

go 1.24
