package streams

import (
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/shard"
)

// Namespace is a set of sagas and the streams that hold them. Get one with [Ensure] or [Open]. It is safe for
// concurrent use.
type Namespace struct {
	conf     Config
	name     string
	nc       *nats.Conn
	js       jetstream.JetStream
	api      string // prefix of the JetStream API, with its dot
	subjects subjects
	pub      *publisher
	streams  []string            // in the order of their ordinals
	home     [shard.Count]string // the stream of each shard
}

func newNamespace(conf Config) *Namespace {
	return &Namespace{
		conf: conf, name: conf.Namespace, nc: conf.Conn, js: conf.JetStream,
		api: apiPrefix(conf.JetStream), subjects: newSubjects(conf.Namespace), pub: newPublisher(conf.Conn),
	}
}

// apiPrefix gives where the JetStream API answers; the default is the server's JSApiPrefix.
func apiPrefix(js jetstream.JetStream) string {
	options := js.Options()
	switch {
	case options.Domain != "":
		return "$JS." + options.Domain + ".API."
	case options.APIPrefix != "":
		return options.APIPrefix + "."
	default:
		return jetstream.DefaultAPIPrefix
	}
}

// Name is the namespace's name.
func (n *Namespace) Name() string { return n.name }

// Streams gives the names of the streams that hold the sagas, in their order.
func (n *Namespace) Streams() []string { return append([]string(nil), n.streams...) }

// DeadStream gives the name of the stream for commands that were set aside.
func (n *Namespace) DeadStream() string { return n.deadStream() }

// Conn gives the namespace's connection.
func (n *Namespace) Conn() *nats.Conn { return n.nc }

// JetStream gives the namespace's JetStream.
func (n *Namespace) JetStream() jetstream.JetStream { return n.js }

// stream gives the stream that holds a saga.
func (n *Namespace) stream(key saga.Key) string { return n.home[shard.Of(key.Definition, key.ID)] }
