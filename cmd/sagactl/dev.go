package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/jetsaga/jetsaga/streams/embedded"
)

func (a *app) dev() *cobra.Command {
	conf := embedded.Config{}
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run NATS with JetStream in this process, for an application to connect to",
		Long: "Dev runs a NATS server with JetStream until it is interrupted. Without --data everything is gone afterwards. " +
			"It listens on this machine only unless --host says otherwise, and asks for no password. Ctrl-C is how it ends, with exit code 0.\n\n" +
			"What is stored is synced to the disk every second: a killed process loses nothing, a power cut up to a second.\n\n" +
			"With -o json: url, data.",
		Example: "  sagactl dev\n  sagactl dev --port 4333 --data ./nats-data",
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.runDev(cmd.Context(), conf) },
	}
	cmd.Flags().IntVar(&conf.Port, "port", 4222, "port to listen on; -1 for a free one")
	cmd.Flags().StringVar(&conf.Host, "host", embedded.DefaultHost, "address to listen on")
	cmd.Flags().StringVar(&conf.StoreDir, "data", "", "directory to keep everything in (default: one that is removed in the end)")
	return cmd
}

func (a *app) runDev(ctx context.Context, conf embedded.Config) error {
	if err := checkPortFlag(conf.Port); err != nil {
		return err
	}
	if conf.StoreDir == "" {
		dir, err := os.MkdirTemp("", "sagactl-dev-")
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(dir) }()
		conf.StoreDir = dir
	}
	s, err := embedded.Start(ctx, conf)
	if err != nil {
		return fmt.Errorf("starting NATS: %w", err)
	}
	defer s.Stop()
	if a.json() {
		err = a.printJSON(map[string]string{"url": s.ClientURL(), "data": s.StoreDir()})
	} else {
		a.printf("NATS with JetStream listens on %s\n\n  export NATS_URL=%s\n\nData is in %s. Ctrl-C ends it.\n",
			s.ClientURL(), s.ClientURL(), s.StoreDir())
	}
	if err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// checkPortFlag refuses what is no port. 0 is none, and a server that nobody can reach is not what was asked for.
func checkPortFlag(port int) error {
	if port == 0 || port < -1 || port > 65535 {
		return usagef("--port is %d, must be 1 to 65535, or -1 for a free one", port)
	}
	return nil
}
