package streams

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/jetsaga/jetsaga/shard"
)

// countKey is the stream metadata that holds how many streams the namespace has, so that a creation that died
// half-way is completed as it was meant.
const countKey = "jetsaga.streams"

// ErrNotFound tells that the namespace has no streams (yet).
var ErrNotFound = errors.New("no sagas here")

// DriftError tells that the namespace's streams are not what they must be, or not what was configured.
type DriftError struct {
	Namespace   string
	Differences []string
}

func (e *DriftError) Error() string {
	return fmt.Sprintf("namespace %q: its streams differ from what is needed: %s", e.Namespace, strings.Join(e.Differences, "; "))
}

// Ensure creates what is missing of the namespace's streams, verifies what exists, and opens it. Any number of
// processes may call it at once. A difference that it may not mend gives a [*DriftError] with all of them; a
// server that is too old a [*ServerError].
func Ensure(ctx context.Context, conf Config) (*Namespace, error) {
	return open(ctx, conf, true)
}

// Open verifies and opens a namespace that exists, and creates nothing: for tools. Its error is [ErrNotFound]
// where there is none.
func Open(ctx context.Context, conf Config) (*Namespace, error) {
	return open(ctx, conf, false)
}

func open(ctx context.Context, conf Config, create bool) (*Namespace, error) {
	conf, err := conf.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := checkServer(ctx, conf); err != nil {
		return nil, err
	}
	n := newNamespace(conf)
	found, err := n.find(ctx)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 && !create {
		return nil, fmt.Errorf("namespace %q: %w", conf.Namespace, ErrNotFound)
	}
	wanted, err := n.plan(found)
	if err != nil {
		return nil, err
	}
	if create {
		if err := n.createMissing(ctx, wanted, found); err != nil {
			return nil, err
		}
	}
	if err := n.adopt(wanted, found); err != nil {
		return nil, err
	}
	return n, nil
}

// find gives the namespace's streams that exist, by name.
func (n *Namespace) find(ctx context.Context) (map[string]*jetstream.StreamInfo, error) {
	found := map[string]*jetstream.StreamInfo{}
	list := n.js.ListStreams(ctx)
	for info := range list.Info() {
		if n.ordinal(info.Config.Name) >= 0 || info.Config.Name == n.deadStream() {
			found[info.Config.Name] = info
		}
	}
	if err := list.Err(); err != nil {
		return nil, fmt.Errorf("namespace %q: listing its streams: %w", n.name, err)
	}
	return found, nil
}

// streamName gives the name of the namespace's stream with that ordinal.
func (n *Namespace) streamName(ordinal int) string {
	return "SAGA_" + n.name + "_" + strconv.Itoa(ordinal)
}

// deadStream gives the name of the stream for commands that were set aside.
func (n *Namespace) deadStream() string { return "SAGA_" + n.name + "_DEAD" }

// ordinal gives the number in the name of one of the namespace's streams, or -1.
func (n *Namespace) ordinal(stream string) int {
	digits, ok := strings.CutPrefix(stream, "SAGA_"+n.name+"_")
	number, err := strconv.Atoi(digits)
	if !ok || err != nil || number < 0 || n.streamName(number) != stream {
		return -1
	}
	return number
}

// plan gives the configuration of every stream that the namespace is to have.
func (n *Namespace) plan(found map[string]*jetstream.StreamInfo) ([]jetstream.StreamConfig, error) {
	count, replicas := n.conf.Streams, n.conf.Replicas
	for name, info := range found {
		if name == n.deadStream() {
			continue
		}
		was, err := strconv.Atoi(info.Config.Metadata[countKey])
		if err != nil || was < 1 {
			return nil, &DriftError{n.name, []string{fmt.Sprintf("stream %s lacks the metadata %s", name, countKey)}}
		}
		if n.conf.Streams != 0 && n.conf.Streams != was {
			return nil, &DriftError{n.name, []string{fmt.Sprintf(
				"it has %d streams and the configuration asks for %d; the number is fixed when they are created", was, n.conf.Streams)}}
		}
		count = was
		if replicas == 0 {
			replicas = info.Config.Replicas
		}
	}
	if count == 0 {
		count = DefaultStreams
	}
	if replicas == 0 {
		replicas = DefaultReplicas
	}
	names := make([]string, count)
	for i := range names {
		names[i] = n.streamName(i)
	}
	ring, err := shard.NewRing(names, 0)
	if err != nil {
		return nil, fmt.Errorf("namespace %q: %w", n.name, err)
	}
	var wanted []jetstream.StreamConfig
	for _, name := range names {
		conf := n.streamConfig(name, replicas)
		conf.Metadata = map[string]string{countKey: strconv.Itoa(count)}
		for _, s := range ring.Shards(name) {
			conf.Subjects = append(conf.Subjects, n.subjects.shard(s))
		}
		wanted = append(wanted, conf)
	}
	dead := n.streamConfig(n.deadStream(), replicas)
	dead.Subjects = []string{n.subjects.deadAll()}
	return append(wanted, dead), nil
}

// streamConfig is what all streams have in common. A full store refuses and never forgets: there is no limit in
// whose name anything could be discarded. The server allows no DiscardNew beside schedules; without limits the
// discard policy has nothing to act on, and the account's or the server's own limits refuse.
func (n *Namespace) streamConfig(name string, replicas int) jetstream.StreamConfig {
	conf := jetstream.StreamConfig{
		Name:              name,
		Description:       "sagas of namespace " + n.name,
		Retention:         jetstream.LimitsPolicy,
		Discard:           jetstream.DiscardOld,
		MaxMsgs:           -1,
		MaxBytes:          -1,
		MaxMsgsPerSubject: -1,
		Storage:           jetstream.FileStorage,
		Replicas:          replicas,
		AllowDirect:       true,
		AllowMsgSchedules: true,
		AllowMsgTTL:       true,
		AllowRollup:       true,
	}
	if n.conf.Compression {
		conf.Compression = jetstream.S2Compression
	}
	return conf
}

// createMissing creates the streams that do not exist, and puts them among those found.
func (n *Namespace) createMissing(ctx context.Context, wanted []jetstream.StreamConfig, found map[string]*jetstream.StreamInfo) error {
	for _, conf := range wanted {
		if found[conf.Name] != nil {
			continue
		}
		stream, err := n.js.CreateStream(ctx, conf)
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			stream, err = n.js.Stream(ctx, conf.Name) // another process was faster
		}
		if err != nil {
			return fmt.Errorf("namespace %q: creating stream %s: %w", n.name, conf.Name, err)
		}
		found[conf.Name] = stream.CachedInfo()
	}
	return nil
}

// adopt verifies the streams and takes from them, not from the plan, which shard lives where.
func (n *Namespace) adopt(wanted []jetstream.StreamConfig, found map[string]*jetstream.StreamInfo) error {
	var differences []string
	differ := func(format string, args ...any) { differences = append(differences, fmt.Sprintf(format, args...)) }
	for _, want := range wanted {
		info := found[want.Name]
		if info == nil {
			differ("stream %s is missing", want.Name)
			continue
		}
		differences = append(differences, drift(want, info.Config)...)
		if want.Name == n.deadStream() {
			continue
		}
		n.streams = append(n.streams, want.Name)
		for _, subject := range info.Config.Subjects {
			s, ok := n.subjects.parseShard(subject)
			if !ok {
				differ("stream %s has the subject %s, which is no shard", want.Name, subject)
				continue
			}
			n.home[s] = want.Name
		}
	}
	for s, name := range &n.home {
		if name == "" {
			differ("no stream has shard %s", shard.Shard(s))
		}
	}
	if len(differences) > 0 {
		return &DriftError{n.name, differences}
	}
	return nil
}

// parseShard reads the subject filter of a shard.
func (s subjects) parseShard(filter string) (shard.Shard, bool) {
	digits, ok := strings.CutPrefix(filter, s.prefix)
	if !ok {
		return 0, false
	}
	digits, ok = strings.CutSuffix(digits, ".>")
	if !ok {
		return 0, false
	}
	n, err := shard.Parse(digits)
	return n, err == nil
}

// drift names the settings on which safety rests that are not as they must be.
func drift(want, is jetstream.StreamConfig) (differences []string) {
	check := func(setting string, want, is any) {
		if want != is {
			differences = append(differences, fmt.Sprintf("%s is %v, must be %v", setting, is, want))
		}
	}
	check("retention", want.Retention, is.Retention)
	check("storage", want.Storage, is.Storage)
	check("replicas", want.Replicas, is.Replicas)
	check("max age", want.MaxAge, is.MaxAge)
	check("max messages", want.MaxMsgs, is.MaxMsgs)
	check("max bytes", want.MaxBytes, is.MaxBytes)
	check("max messages per subject", want.MaxMsgsPerSubject, is.MaxMsgsPerSubject)
	check("allow direct", want.AllowDirect, is.AllowDirect)
	check("allow message schedules", want.AllowMsgSchedules, is.AllowMsgSchedules)
	check("allow message TTL", want.AllowMsgTTL, is.AllowMsgTTL)
	check("allow rollup", want.AllowRollup, is.AllowRollup)
	for i := range differences {
		differences[i] = "stream " + want.Name + ": " + differences[i]
	}
	return differences
}
