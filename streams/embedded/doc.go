// Package embedded runs a nats-server with JetStream inside the process: for sagactl, for examples and for tests.
//
//	srv, err := embedded.Start(ctx, embedded.Config{StoreDir: dir})
//	defer srv.Stop()
//	nc, err := srv.Connect()
//
// What was acknowledged survives the end of the process, a SIGKILL included. A power cut can take what was stored
// since the last sync, at most [Config.SyncInterval]; with [Config.SyncAlways] it can take nothing.
//
// Clients may ask the server how its JetStream runs, and so what a power cut can take: the subject is
// $SYS.REQ.SERVER.<id>.JSZ, as it is for the system account of any nats-server. "sagactl doctor" does.
//
// A store directory is used by one server at a time: a second is refused, on systems that have flock.
package embedded
