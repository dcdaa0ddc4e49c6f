package smart

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// A Key is the signing key of a client: RSA 3072 for RS384, P-384 for ES384.
type Key struct {
	private crypto.Signer
	alg     string
	kid     string
}

// NewKey makes a key for alg, RS384 or ES384.
func NewKey(alg string) (*Key, error) {
	var k crypto.Signer
	var err error
	switch alg {
	case "RS384":
		k, err = rsa.GenerateKey(rand.Reader, 3072)
	case "ES384":
		k, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	default:
		return nil, fmt.Errorf("make a signing key: %s is not RS384 or ES384", alg)
	}
	if err != nil {
		return nil, fmt.Errorf("make a signing key: %w", err)
	}
	return wrapKey(k)
}

// ParseKey reads a private key in PKCS#8 form.
func ParseKey(der []byte) (*Key, error) {
	k, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, errors.New("read the signing key: it is damaged")
	}
	signer, ok := k.(crypto.Signer)
	if !ok {
		return nil, errors.New("read the signing key: it cannot sign")
	}
	return wrapKey(signer)
}

func wrapKey(k crypto.Signer) (*Key, error) {
	key := &Key{private: k}
	switch k := k.(type) {
	case *rsa.PrivateKey:
		key.alg = "RS384"
	case *ecdsa.PrivateKey:
		if k.Curve != elliptic.P384() {
			return nil, errors.New("the signing key is on another curve than P-384")
		}
		key.alg = "ES384"
	default:
		return nil, errors.New("the signing key is of another kind than RSA or P-384")
	}
	members, err := json.Marshal(key.members()) // RFC 7638: required members in order of their names
	if err != nil {
		return nil, fmt.Errorf("name the signing key: %w", err)
	}
	sum := sha256.Sum256(members)
	key.kid = base64.RawURLEncoding.EncodeToString(sum[:])
	return key, nil
}

// Marshal returns the private key in PKCS#8 form; the caller seals it.
func (k *Key) Marshal() ([]byte, error) { return x509.MarshalPKCS8PrivateKey(k.private) }

// KID returns the key's id, its RFC 7638 thumbprint.
func (k *Key) KID() string { return k.kid }

// Alg returns RS384 or ES384.
func (k *Key) Alg() string { return k.alg }

// members are the public members that the thumbprint covers.
func (k *Key) members() map[string]string {
	switch p := k.private.Public().(type) {
	case *rsa.PublicKey:
		return map[string]string{"kty": "RSA", "n": b64(p.N.Bytes()), "e": b64(big.NewInt(int64(p.E)).Bytes())}
	case *ecdsa.PublicKey:
		point, err := p.Bytes() // 4, x, y
		if err != nil || len(point) != 97 {
			return nil
		}
		return map[string]string{"kty": "EC", "crv": "P-384", "x": b64(point[1:49]), "y": b64(point[49:])}
	}
	return nil
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// JWKS returns the public keys as the vendor's form takes them (P14): no
// private member.
func JWKS(list ...*Key) ([]byte, error) {
	set := struct {
		Keys []map[string]string `json:"keys"`
	}{[]map[string]string{}}
	for _, k := range list {
		m := k.members()
		m["use"], m["alg"], m["kid"] = "sig", k.alg, k.kid
		set.Keys = append(set.Keys, m)
	}
	return json.MarshalIndent(set, "", "  ")
}

// assert makes a signed assertion with a fresh jti (P11).
func (k *Key) assert(clientID, tokenURL string, now time.Time, life time.Duration) (string, error) {
	jti := make([]byte, 16)
	if _, err := rand.Read(jti); err != nil {
		return "", fmt.Errorf("draw a jti: %w", err)
	}
	head, err := json.Marshal(map[string]string{"alg": k.alg, "kid": k.kid, "typ": "JWT"})
	if err != nil {
		return "", err
	}
	claims, err := json.Marshal(map[string]any{"iss": clientID, "sub": clientID, "aud": tokenURL,
		"jti": hex.EncodeToString(jti), "iat": now.Unix(), "exp": now.Add(life).Unix()})
	if err != nil {
		return "", err
	}
	signed := b64(head) + "." + b64(claims)
	sig, err := k.sign([]byte(signed))
	if err != nil {
		return "", fmt.Errorf("sign the assertion: %w", err)
	}
	return signed + "." + b64(sig), nil
}

// sign signs with SHA-384; ES384 is r and s of 48 bytes each (RFC 7518 3.4).
func (k *Key) sign(msg []byte) ([]byte, error) {
	sum := sha512.Sum384(msg)
	switch p := k.private.(type) {
	case *rsa.PrivateKey:
		return rsa.SignPKCS1v15(rand.Reader, p, crypto.SHA384, sum[:])
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, p, sum[:])
		if err != nil {
			return nil, err
		}
		sig := make([]byte, 96)
		r.FillBytes(sig[:48])
		s.FillBytes(sig[48:])
		return sig, nil
	}
	return nil, errors.New("no signing key")
}
