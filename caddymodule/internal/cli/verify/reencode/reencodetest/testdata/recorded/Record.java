// Writes what Jackson and Gson make of a body. record.sh runs this.
import com.fasterxml.jackson.databind.ObjectMapper;
import com.google.gson.*;
import java.nio.file.*;

public class Record {
    public static void main(String[] args) throws Exception {
        String body = Files.readString(Path.of(args[0]));
        ObjectMapper jackson = new ObjectMapper();
        write("jackson.json", jackson.writeValueAsString(jackson.readValue(body, Object.class)));
        write("jackson_pretty.json", jackson.writerWithDefaultPrettyPrinter().writeValueAsString(jackson.readTree(body)));
        write("gson_map.json", new GsonBuilder().serializeNulls().create().toJson(new Gson().fromJson(body, Object.class)));
        write("gson_tree.json", new GsonBuilder().serializeNulls().create().toJson(JsonParser.parseString(body)));
        write("gson_without_nulls.json", new GsonBuilder().setPrettyPrinting().create().toJson(new Gson().fromJson(body, Object.class)));
    }

    static void write(String file, String text) throws Exception {
        Files.writeString(Path.of(file), text);
    }
}
