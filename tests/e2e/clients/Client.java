// Java's own HTTP client, with its defaults: sends the requests of a list, and writes what was answered.
// java Client.java URL LIST VERSION, where VERSION is `default` or `1.1`. The list and the answers: see cases.py.

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Base64;
import java.util.zip.GZIPOutputStream;

public class Client {
    public static void main(String[] arguments) throws Exception {
        var client = arguments[2].equals("default")
            ? HttpClient.newHttpClient()
            : HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
        for (var line : Files.readAllLines(Path.of(arguments[1]))) {
            var fields = line.split("\t", -1);
            var request = HttpRequest.newBuilder(URI.create(arguments[0] + fields[2])).timeout(Duration.ofSeconds(10));
            if (fields[3].equals("none")) {
                request.method(fields[1], BodyPublishers.noBody());
            } else {
                var body = Files.readAllBytes(Path.of(fields[4]));
                request.header("Content-Type", "application/json");
                if (fields[3].equals("gzip")) {
                    request.header("Content-Encoding", "gzip");
                }
                request.method(fields[1], publisher(fields[3], body));
            }
            var response = client.send(request.build(), BodyHandlers.ofByteArray());
            var type = response.headers().firstValue("content-type").orElse("");
            var answer = Base64.getEncoder().encodeToString(response.body());
            System.out.println(fields[0] + "\t" + response.statusCode() + "\t" + type + "\t" + answer);
        }
    }

    private static BodyPublisher publisher(String mode, byte[] body) throws Exception {
        if (mode.equals("chunked")) {
            return BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(body));
        }
        if (!mode.equals("gzip")) {
            return BodyPublishers.ofByteArray(body);
        }
        var packed = new ByteArrayOutputStream();
        try (var gzip = new GZIPOutputStream(packed)) {
            gzip.write(body);
        }
        return BodyPublishers.ofByteArray(packed.toByteArray());
    }
}
