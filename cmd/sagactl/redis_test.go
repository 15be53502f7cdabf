package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jetsaga/jetsaga/testutil"
)

// reaches returns when sagactl reaches a Redis at a URL.
func reaches(t *testing.T, url string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	a := &app{redis: url}
	a.conn.timeout = time.Second
	for {
		rdb, err := a.dialRedis(ctx)
		if err == nil {
			if err := rdb.Set(ctx, "k", "v", 0).Err(); err != nil {
				t.Errorf("%s: %v", url, err)
			}
			_ = rdb.Close()
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("%s: %v", url, err)
		}
	}
}

func TestRedisIsReachedByItsURL(t *testing.T) {
	reaches(t, testutil.Redis(t).URL())
}

func TestRedisIsReachedBySentinels(t *testing.T) {
	reaches(t, "redis://"+testutil.RedisSentinel(t, testutil.Redis(t))+"?master_name=mymaster")
}

func TestRedisIsReachedOverTLSByAUser(t *testing.T) {
	dir := t.TempDir()
	certificate, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	selfSigned(t, certificate, key)
	port := freePort(t)
	conf := testutil.RedisConfig{Dir: dir, Args: []string{
		"--tls-port", port, "--tls-cert-file", certificate, "--tls-key-file", key, "--tls-ca-cert-file", certificate,
		"--tls-auth-clients", "no", "--user", "jetsaga", "on", ">secret", "~*", "+@all",
	}}
	secure, err := testutil.StartRedis(t.Context(), conf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(secure.Kill)
	t.Setenv("SSL_CERT_FILE", certificate)
	reaches(t, "rediss://jetsaga:secret@localhost:"+port+"/0")
}

// freePort gives a port that was free a moment ago.
func freePort(t *testing.T) string {
	t.Helper()
	var conf net.ListenConfig
	l, err := conf.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// selfSigned writes a certificate for localhost, and its key.
func selfSigned(t *testing.T, certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{
		certificate: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: encoded},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
