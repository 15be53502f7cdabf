package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/jetsaga/jetsaga/streams/embedded"
)

func (a *app) dev() *cobra.Command {
	conf, redisPort := embedded.Config{}, 0
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run NATS with JetStream, and Redis, in this process, for an application to connect to",
		Long: "Dev runs a NATS server with JetStream until it is interrupted. Without --data everything is gone afterwards. " +
			"Beside it runs a small Redis in memory for read models and idempotency keys, unless --redis, or the environment, names one. " +
			"It listens on this machine only unless --host says otherwise, and asks for no password. Ctrl-C is how it ends, with exit code 0.\n\n" +
			"What is stored is synced to the disk every second: a killed process loses nothing, a power cut up to a second.\n\n" +
			"With -o json: url, redis, data.",
		Example: "  sagactl dev\n  sagactl dev --port 4333 --data ./nats-data",
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.runDev(cmd.Context(), conf, redisPort) },
	}
	cmd.Flags().IntVar(&conf.Port, "port", 4222, "port to listen on; -1 for a free one")
	cmd.Flags().IntVar(&redisPort, "redis-port", 6379, "port for Redis, on this machine only; -1 for a free one")
	cmd.Flags().StringVar(&conf.Host, "host", embedded.DefaultHost, "address to listen on")
	cmd.Flags().StringVar(&conf.StoreDir, "data", "", "directory to keep everything in (default: one that is removed in the end)")
	return cmd
}

func (a *app) runDev(ctx context.Context, conf embedded.Config, redisPort int) error {
	if err := checkPortFlag("--port", conf.Port); err != nil {
		return err
	}
	if err := checkPortFlag("--redis-port", redisPort); err != nil {
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
	_, redisURL, stopRedis, err := a.localRedis(ctx, max(redisPort, 0))
	if err != nil {
		return err
	}
	defer stopRedis()
	if a.json() {
		err = a.printJSON(devResult{s.ClientURL(), redisURL, s.StoreDir()})
	} else {
		a.printf("NATS with JetStream listens on %s\n\n  export NATS_URL=%s\n", s.ClientURL(), s.ClientURL())
		if redisURL != "" {
			a.printf("  export REDIS_URL=%s\n", redisURL)
		}
		a.printf("\nData is in %s. Ctrl-C ends it.\n", s.StoreDir())
	}
	if err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// devResult is what dev prints with -o json.
type devResult struct {
	URL   string `json:"url"`
	Redis string `json:"redis,omitempty"` // of this process
	Data  string `json:"data"`
}

// checkPortFlag refuses what is no port. 0 is none, and a server that nobody can reach is not what was asked for.
func checkPortFlag(flag string, port int) error {
	if port == 0 || port < -1 || port > 65535 {
		return usagef("%s is %d, must be 1 to 65535, or -1 for a free one", flag, port)
	}
	return nil
}
