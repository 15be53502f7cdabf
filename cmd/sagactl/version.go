package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/jetsaga/jetsaga/streams"
)

// versionView is what version prints with -o json.
type versionView struct {
	Sagactl string `json:"sagactl"`
	Go      string `json:"go"`
	Minimum string `json:"nats_server_minimum"`
}

func (a *app) version() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Show the versions of sagactl, Go and the oldest NATS server that will do",
		Long:  "Version shows the versions of sagactl and of Go, and the oldest nats-server that will do.\n\nWith -o json: sagactl, go, nats_server_minimum.",
		RunE: func(*cobra.Command, []string) error {
			version := "(devel)"
			if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
				version = info.Main.Version
			}
			if a.json() {
				return a.printJSON(versionView{version, runtime.Version(), streams.MinServerVersion})
			}
			a.printf("sagactl %s, %s, needs nats-server %s or newer\n", version, runtime.Version(), streams.MinServerVersion)
			return nil
		},
	}
}
