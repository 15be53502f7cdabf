package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

func TestSecretsAreNeverPrinted(t *testing.T) {
	t.Setenv("NATS_PASSWORD", "hunter2")
	t.Setenv("NATS_URL", "nats://someone:s3cret@127.0.0.1:1")
	for _, args := range [][]string{
		{"get", "--help"}, {"help"}, {"get", "a", "b"}, {"get", "a", "b", "-s", "nats://s3cret@127.0.0.1:1"},
		{"get", "a", "b", "-s", "nats://someone:s3cret@:bad:"},
	} {
		_, out, errs := ctl(t, args...)
		if strings.Contains(out+errs, "hunter2") || strings.Contains(out+errs, "s3cret") {
			t.Errorf("%q prints a secret:\n%s%s", args, out, errs)
		}
	}
}

func TestTheEnvironmentSaysWhereTheServerIs(t *testing.T) {
	w := newTown(t)
	t.Setenv("NATS_URL", w.server)
	if code, _, errs := ctl(t, "doctor"); code != exitOK {
		t.Errorf("NATS_URL: exit %d\n%s", code, errs)
	}
	home := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", home)
	contexts := filepath.Join(home, "nats", "context")
	if err := os.MkdirAll(contexts, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"here": fmt.Sprintf(`{"url":%q}`, w.server), "elsewhere": `{"url":"nats://127.0.0.1:1"}`, "broken": `{`,
		"domain": fmt.Sprintf(`{"url":%q,"jetstream_domain":"leaf"}`, w.server),
	} {
		if err := os.WriteFile(filepath.Join(contexts, name+".json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		context string
		code    int
	}{{"here", exitOK}, {"elsewhere", exitServer}, {"broken", exitUsage}, {"unknown", exitUsage}, {"domain", exitServer}} {
		if code, _, errs := ctl(t, "doctor", "--context", c.context, "--timeout", "300ms"); code != c.code {
			t.Errorf("--context %s: exit %d, want %d\n%s", c.context, code, c.code, errs)
		}
	}
	t.Setenv("NATS_CONTEXT", "elsewhere")
	if code, _, _ := ctl(t, "doctor"); code != exitServer {
		t.Errorf("NATS_CONTEXT: exit %d", code)
	}
	if code, _, errs := w.ctl(t, "doctor"); code != exitOK {
		t.Errorf("a server named by flag is overruled: exit %d\n%s", code, errs)
	}
}

// speak listens, says one thing to whoever connects, and answers its PINGs.
func speak(t *testing.T, greeting string) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = fmt.Fprint(conn, greeting)
			for lines := bufio.NewScanner(conn); lines.Scan(); {
				if lines.Text() == "PING" {
					_, _ = fmt.Fprint(conn, "PONG\r\n")
				}
			}
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return "nats://" + l.Addr().String()
}

func TestAServerThatWillNotDoIsNamedInOneLine(t *testing.T) {
	guarded, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true, JetStream: true, StoreDir: t.TempDir(),
		Users: []*server.User{{Username: "u", Password: "p", Permissions: &server.Permissions{
			Publish: &server.SubjectPermission{Deny: []string{"$JS.API.>"}},
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	guarded.Start()
	t.Cleanup(func() { guarded.Shutdown(); guarded.WaitForShutdown() })
	for _, c := range []struct {
		name, url, want string
		more            []string
	}{
		{"not NATS", speak(t, "HTTP/1.1 400 Bad Request\r\n\r\n"), "cannot reach nats", nil},
		{"old", speak(t, `INFO {"server_id":"x","version":"2.10.4","max_payload":1048576,"headers":true,"proto":1}`+"\r\n"),
			"is older than 2.15.2", nil},
		{"no password", guarded.ClientURL(), "authorization violation", nil},
		{"wrong password", guarded.ClientURL(), "authorization violation", []string{"--user", "u", "--password", "q"}},
		{"no permission", guarded.ClientURL(), "permissions violation", []string{"--user", "u", "--password", "p"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := append([]string{"get", "a", "b", "-s", c.url, "--timeout", "500ms"}, c.more...)
			code, out, errs := ctl(t, args...)
			if code != exitServer || out != "" || strings.Count(errs, "\n") != 1 || !strings.Contains(strings.ToLower(errs), c.want) {
				t.Errorf("exit %d\n%s%s", code, out, errs)
			}
		})
	}
}
