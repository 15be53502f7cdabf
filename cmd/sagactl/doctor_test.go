package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/streams"
	"github.com/jetsaga/jetsaga/streams/embedded"
	"github.com/jetsaga/jetsaga/testutil"
)

func TestDoctorFindsAHoleBeforeTheLastSnapshot(t *testing.T) {
	w := newTown(t)
	ns := w.client.Namespace()
	key := longHistory(t, ns, 70)
	if code, out, _ := w.ctl(t, "doctor", "--deep"); code != exitOK || !strings.Contains(out, "histories     1 read") {
		t.Errorf("before: exit %d\n%s", code, out)
	}
	dropCommit(t, ns, key, 30)
	code, out, _ := w.ctl(t, "doctor", "--deep", "-o", "json")
	var got diagnosis
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != exitNo || len(got.Problems) != 1 ||
		!strings.Contains(got.Problems[0], "saga greet/long: history is corrupt at version 31") {
		t.Errorf("doctor: exit %d, %v\n%s", code, err, out)
	}
	if code, out, errs := w.ctl(t, "history", "greet", "long"); code != exitDamaged || !strings.Contains(out, "SagaStarted") ||
		strings.Count(errs, "\n") != 1 || !strings.Contains(errs, "version 31") {
		t.Errorf("history: exit %d\n%s%s", code, out, errs)
	}
	for at, want := range map[string]int{"29": exitOK, "30": exitNotFound, "31": exitDamaged} {
		if code, _, errs := w.ctl(t, "history", "greet", "long", "--at", at); code != want {
			t.Errorf("history --at %s: exit %d, want %d\n%s", at, code, want, errs)
		}
	}
	dropCommit(t, ns, key, 1)
	if _, out, _ := w.ctl(t, "doctor", "--deep"); !strings.Contains(out, "what came before is gone") {
		t.Errorf("doctor, without the beginning:\n%s", out)
	}
}

func TestDoctorTellsOfDriftAndStillLooksAtTheRest(t *testing.T) {
	w := newTown(t)
	js := w.client.Namespace().JetStream()
	stream, err := js.Stream(t.Context(), "SAGA_default_0")
	if err != nil {
		t.Fatal(err)
	}
	conf := stream.CachedInfo().Config
	conf.MaxAge = time.Hour
	if _, err := js.UpdateStream(t.Context(), conf); err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteStream(t.Context(), "SAGA_default_DEAD"); err != nil {
		t.Fatal(err)
	}
	code, out, errs := w.ctl(t, "doctor", "--deep")
	for _, want := range []string{"max age is 1h0m0s", "SAGA_default_DEAD is missing", "SAGA_default_3", "greet"} {
		if code != exitNo || errs != "" || !strings.Contains(out, want) {
			t.Errorf("doctor: exit %d, want 1 with %q\n%s%s", code, want, out, errs)
		}
	}
	if code, _, errs := w.ctl(t, "get", "greet", "g-1"); code != exitDamaged || !strings.Contains(errs, "max age") {
		t.Errorf("get: exit %d\n%s", code, errs)
	}
}

func TestDoctorTellsOfCommandsThatNobodyTakes(t *testing.T) {
	w := newTown(t)
	ns := w.client.Namespace()
	pullers, err := ns.Pull(t.Context(), "orphan", streams.PullHandlers{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pullers {
		p.Stop()
	}
	if code, _, errs := w.ctl(t, "start", "orphan", "--id", "o-1"); code != exitOK {
		t.Fatal(errs)
	}
	// The server counts a command for its consumer a moment after it has acknowledged it.
	patience, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for {
		code, out, _ := w.ctl(t, "doctor")
		if code == exitNo && strings.Contains(out, "1 commands wait and no worker asks for them") {
			return
		}
		if patience.Err() != nil {
			t.Fatalf("doctor: exit %d\n%s", code, out)
		}
	}
}

func TestDoctorReadsHowOftenTheServerSyncs(t *testing.T) {
	for _, c := range []struct {
		name, want string
		options    server.Options
	}{
		{"default", "power cut loses up to 2m0s", server.Options{}},
		{"a second", "power cut loses up to 1s of what was acknowledged.", server.Options{SyncInterval: time.Second}},
		{"always", "neither a killed process nor a power cut loses anything", server.Options{SyncAlways: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := c.options
			o.HTTPHost, o.HTTPPort = "127.0.0.1", -1
			s := foreign(t, o)
			monitor := "http://" + s.MonitorAddr().String()
			if code, out, errs := ctl(t, "doctor", "-s", s.ClientURL(), "--monitor", monitor); code != exitOK || !strings.Contains(out, c.want) {
				t.Errorf("exit %d\n%s%s", code, out, errs)
			}
			if code, _, errs := ctl(t, "doctor", "-s", s.ClientURL(), "--monitor", monitor+"/nothing"); code != exitServer ||
				strings.Count(errs, "\n") != 1 {
				t.Errorf("a port that is no monitoring port: exit %d\n%s", code, errs)
			}
		})
	}
}

// foreign starts a nats-server that is not embedded by us, with a namespace.
func foreign(t *testing.T, o server.Options) *server.Server {
	t.Helper()
	o.Host, o.Port, o.NoLog, o.NoSigs, o.JetStream, o.StoreDir = "127.0.0.1", -1, true, true, true, t.TempDir()
	s, err := server.NewServer(&o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if _, err := engine.NewClient(t.Context(), engine.Config{Conn: nc}); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAServerThatIsStartedAnewTellsDoctorHowItSyncsNow(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		want string
		conf embedded.Config
	}{
		{"synced every 1s: a killed process loses nothing, and a power cut loses up to 1s of what was acknowledged.\n", embedded.Config{}},
		{"neither a killed process nor a power cut loses anything", embedded.Config{SyncAlways: true}},
		{"a power cut loses up to 10s of what was acknowledged; sync_interval: 1s costs nothing", embedded.Config{SyncInterval: 10 * time.Second}},
	} {
		c.conf.StoreDir, c.conf.Port = dir, -1
		s, err := embedded.Start(t.Context(), c.conf)
		if err != nil {
			t.Fatal(err)
		}
		nc := testutil.Connect(t, s)
		if _, err := engine.NewClient(t.Context(), engine.Config{Conn: nc}); err != nil {
			t.Fatal(err)
		}
		if code, out, errs := ctl(t, "doctor", "-s", s.ClientURL()); code != exitOK || !strings.Contains(out, c.want) {
			t.Errorf("exit %d, want %q\n%s%s", code, c.want, out, errs)
		}
		nc.Close()
		s.Stop()
	}
}

func TestDoctorAsksAServerWhoseSystemAccountExportsHowItSyncs(t *testing.T) {
	file := filepath.Join(t.TempDir(), "nats.conf")
	const conf = `accounts {
  SYS { exports: [{service: "$SYS.REQ.SERVER.*.JSZ"}] }
  APP { jetstream: enabled, users: [{user: ann}], imports: [{service: {account: SYS, subject: "$SYS.REQ.SERVER.*.JSZ"}}] }
}
system_account: SYS
no_auth_user: ann
jetstream { sync_interval: 7s }`
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	o, err := server.ProcessConfigFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := foreign(t, *o)
	if code, out, errs := ctl(t, "doctor", "-s", s.ClientURL()); code != exitOK || !strings.Contains(out, "synced every 7s") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
}

func TestDoctorSaysWhatIsPossibleWhereTheServerTellsNobody(t *testing.T) {
	forbidding := server.Options{Users: []*server.User{{
		Username: "ann", Permissions: &server.Permissions{Publish: &server.SubjectPermission{Deny: []string{"$SYS.>"}}},
	}}, NoAuthUser: "ann"}
	for name, o := range map[string]server.Options{"no answer": {}, "forbidden": forbidding} {
		t.Run(name, func(t *testing.T) {
			s := foreign(t, o)
			code, out, errs := ctl(t, "doctor", "-s", s.ClientURL(), "-o", "json")
			if code != exitOK || !strings.Contains(out, `"sync": null`) ||
				!strings.Contains(out, "sync_interval (2m0s by default; --monitor reads it)") {
				t.Errorf("exit %d\n%s%s", code, out, errs)
			}
		})
	}
}

func TestMoreReplicasOutliveAPowerCut(t *testing.T) {
	three := []streams.StreamState{{Replicas: 5}, {Replicas: 3}}
	if got := durability(three, nil); !strings.Contains(got, "3 replicas") || !strings.Contains(got, "2 servers at once") {
		t.Error(got)
	}
}
