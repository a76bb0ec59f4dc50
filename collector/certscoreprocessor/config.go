package certscoreprocessor // import "github.com/cert-otel/cert-otel/collector/certscoreprocessor"

import (
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configgrpc"
)

// Config of the processor. The keys of configgrpc (endpoint, tls, auth, headers, …) say where the scorer is.
type Config struct {
	configgrpc.ClientConfig `mapstructure:",squash"`

	// Wait is the longest time that a batch is held for its scores. The scorer is given four fifths
	// of it, the rest is for the way there and back.
	Wait time.Duration `mapstructure:"wait"`

	// MaxInFlight is how many batches may wait at the same time; one more waits for a place, and is
	// passed on as deferred when its own wait is over.
	MaxInFlight int `mapstructure:"max_in_flight"`
}

const (
	defaultWait        = 250 * time.Millisecond
	defaultMaxInFlight = 64
	minWait            = time.Millisecond
)

func createDefaultConfig() component.Config {
	return &Config{
		ClientConfig: configgrpc.NewDefaultClientConfig(),
		Wait:         defaultWait,
		MaxInFlight:  defaultMaxInFlight,
	}
}

// Validate names the key that is wrong.
func (c *Config) Validate() error {
	var problems []error
	if c.Endpoint == "" {
		problems = append(problems, errors.New("endpoint is empty: name the scorer's gRPC port, HOST:4317"))
	}
	if c.Wait < minWait {
		problems = append(problems, fmt.Errorf("wait is %s: it must be at least %s", c.Wait, minWait))
	}
	if c.MaxInFlight < 1 {
		problems = append(problems, fmt.Errorf("max_in_flight is %d: it must be at least 1", c.MaxInFlight))
	}
	return errors.Join(problems...)
}
