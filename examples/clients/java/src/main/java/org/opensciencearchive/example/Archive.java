package org.opensciencearchive.example;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.MethodDescriptor;
import io.grpc.ServiceDescriptor;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.opensciencearchive.v1.ConventionServiceGrpc;
import org.opensciencearchive.v1.DepositionServiceGrpc;
import org.opensciencearchive.v1.FeatureServiceGrpc;
import org.opensciencearchive.v1.RunServiceGrpc;
import org.opensciencearchive.v1.ServerServiceGrpc;

/**
 * A connection to an archive and the stubs of the services that are used here.
 *
 * <p>The "blocking V2" stubs are grpc-java's synchronous ones that can also stream towards the server and cancel a stream. They throw the
 * checked {@link io.grpc.StatusException}. A channel and its stubs are thread-safe: a program needs one.
 */
final class Archive implements AutoCloseable {

    /** What tells that it is allowed to send a call again is in the contract: {@code idempotency_level = NO_SIDE_EFFECTS}. */
    private static final Map<String, ?> RETRY_READS = Map.of("methodConfig", List.of(Map.of(
            "name", reads(
                    ConventionServiceGrpc.getServiceDescriptor(),
                    DepositionServiceGrpc.getServiceDescriptor(),
                    FeatureServiceGrpc.getServiceDescriptor(),
                    RunServiceGrpc.getServiceDescriptor(),
                    ServerServiceGrpc.getServiceDescriptor()),
            "retryPolicy", Map.of(
                    "maxAttempts", 4.0, // grpc-java wants every number as a double
                    "initialBackoff", "0.2s",
                    "maxBackoff", "2s",
                    "backoffMultiplier", 2.0,
                    "retryableStatusCodes", List.of("UNAVAILABLE")))));

    private final ManagedChannel channel;
    final ServerServiceGrpc.ServerServiceBlockingV2Stub server;
    final ConventionServiceGrpc.ConventionServiceBlockingV2Stub conventions;
    final DepositionServiceGrpc.DepositionServiceBlockingV2Stub depositions;
    final RunServiceGrpc.RunServiceBlockingV2Stub runs;
    final FeatureServiceGrpc.FeatureServiceBlockingV2Stub features;

    /** Connects with the first call. */
    Archive(String address) {
        channel = Grpc.newChannelBuilder(address, InsecureChannelCredentials.create()) // TlsChannelCredentials.create() with TLS
                .defaultServiceConfig(RETRY_READS)
                // A connection that broke without a word is noticed within 30 seconds, also in the middle of a long watch. The server
                // does not like to be asked more often than every 15 seconds.
                .keepAliveTime(20, TimeUnit.SECONDS)
                .keepAliveTimeout(10, TimeUnit.SECONDS)
                .intercept(new UnaryDeadline(30))
                .build();
        server = ServerServiceGrpc.newBlockingV2Stub(channel);
        conventions = ConventionServiceGrpc.newBlockingV2Stub(channel);
        depositions = DepositionServiceGrpc.newBlockingV2Stub(channel);
        runs = RunServiceGrpc.newBlockingV2Stub(channel);
        features = FeatureServiceGrpc.newBlockingV2Stub(channel);
    }

    /** Breaks the connection off, with the calls that are under way. */
    @Override
    public void close() {
        channel.shutdownNow();
    }

    private static List<Map<String, String>> reads(ServiceDescriptor... services) {
        return Stream.of(services)
                .flatMap(service -> service.getMethods().stream())
                .filter(MethodDescriptor::isSafe)
                .map(method -> Map.of("service", method.getServiceName(), "method", method.getBareMethodName()))
                .toList();
    }

    /** Without a deadline a call waits for ever: this gives one to each unary call that brings none. Streams last as long as they last. */
    private record UnaryDeadline(long seconds) implements ClientInterceptor {
        @Override
        public <Q, A> ClientCall<Q, A> interceptCall(MethodDescriptor<Q, A> method, CallOptions options, Channel next) {
            boolean wanted = method.getType() == MethodDescriptor.MethodType.UNARY && options.getDeadline() == null;
            return next.newCall(method, wanted ? options.withDeadlineAfter(seconds, TimeUnit.SECONDS) : options);
        }
    }
}
