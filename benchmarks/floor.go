package main

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/nats-io/nats.go/jetstream"
)

// floor is the bare loop: it sends for each saga the messages of its script, each when the one before is stored, and
// acknowledges the command. It decodes nothing, encodes nothing and recovers from nothing. One pull consumer for each
// stream feeds it, and each saga has a goroutine that blocks on one publish after another.
type floor struct {
	script *script
}

// floorSagas is how many sagas the floor has under way at a time: as many as the engine has slots.
const floorSagas = 1000

func (f *floor) work(ctx context.Context, a *arena, o observer) (stop func(), err error) {
	js, err := jetstream.New(a.worker)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	var sagas sync.WaitGroup
	var pulls []jetstream.ConsumeContext
	stop = func() {
		for _, pull := range pulls {
			pull.Stop()
			<-pull.Closed()
		}
		sagas.Wait()
		cancel()
	}
	free := make(chan struct{}, floorSagas)
	for _, stream := range a.ns.Streams() {
		consumer, err := js.CreateConsumer(ctx, stream, jetstream.ConsumerConfig{
			Durable:       "floor",
			FilterSubject: "saga." + a.namespace + ".*." + definitionName + ".*." + commands,
			AckPolicy:     jetstream.AckExplicitPolicy,
			MaxAckPending: -1,
		})
		if err != nil {
			stop()
			return nil, fmt.Errorf("floor: %w", err)
		}
		pull, err := consumer.Consume(func(m jetstream.Msg) {
			o.begun()
			free <- struct{}{}
			sagas.Go(func() {
				f.saga(ctx, js, m, o)
				<-free
			})
		}, jetstream.PullMaxMessages(floorSagas))
		if err != nil {
			stop()
			return nil, fmt.Errorf("floor: %w", err)
		}
		pulls = append(pulls, pull)
	}
	return stop, nil
}

// saga drives one saga from its command to its end. One that fails is missed at the end.
func (f *floor) saga(ctx context.Context, js jetstream.JetStream, m jetstream.Msg, o observer) {
	base := strings.TrimSuffix(m.Subject(), commands)
	subject := base + commits
	var last uint64
	for _, data := range f.script.commits {
		ack, err := js.PublishMsg(ctx, newMessage(subject, data, last))
		if err != nil {
			return
		}
		last = ack.Sequence
	}
	if m.Ack() != nil {
		return
	}
	o.ended(base[strings.LastIndexByte(base[:len(base)-1], '.')+1 : len(base)-1])
}

func (f *floor) starter(_ context.Context, a *arena) (func(context.Context, string) error, error) {
	js, err := jetstream.New(a.client)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, id string) error {
		_, err := js.PublishMsg(ctx, newMessage(a.subject(id, commands), f.script.start, 0))
		return err
	}, nil
}
