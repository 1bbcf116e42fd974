"""Small trip files of every dialect, written by hand in the publishers' own spelling; for the tests of reading."""

import csv
import io
from pathlib import Path

CITIBIKE_2019 = """\
"tripduration","starttime","stoptime","start station id","start station name","start station latitude",\
"start station longitude","end station id","end station name","end station latitude","end station longitude","bikeid",\
"usertype","birth year","gender"
201,"2019-01-01 03:09:09.7110","2019-01-01 03:12:30.8790",3183,"Exchange Place",40.7162469,-74.0334588,3214,\
"Essex Light Rail",40.7127742,-74.0364857,29612,"Subscriber",1993,1
505,"2019-01-01 05:18:00.1060","2019-01-01 05:26:25.9050",3183,"Exchange Place",40.7162469,-74.0334588,3638,\
"Washington St",40.7242941,-74.0354826,29213,"Customer",1969,2
756,"2019-01-01 10:36:33.3400","2019-01-01 10:49:09.3470",3638,"Washington St",40.7242941,-74.0354826,3214,\
"Essex Light Rail",40.7127742,-74.0364857,26164,"Subscriber",1985,0
"""
CITIBIKE_TITLES = """\
Trip Duration,Start Time,Stop Time,Start Station ID,Start Station Name,Start Station Latitude,Start Station Longitude,\
End Station ID,End Station Name,End Station Latitude,End Station Longitude,Bike ID,User Type,Birth Year,Gender
148,2017-01-01 00:21:32,2017-01-01 00:24:01,3276,Marin Light Rail,40.71458404,-74.04281706,3185,City Hall,40.7177325,\
-74.043845,24575,Subscriber,1983,1
1283,2017-01-01 00:24:35,2017-01-01 00:45:58,3185,City Hall,40.7177325,-74.043845,3276,Marin Light Rail,40.71458404,\
-74.04281706,24723,Customer,NULL,0
"""
CITIBIKE_2021 = """\
ride_id,rideable_type,started_at,ended_at,start_station_name,start_station_id,end_station_name,end_station_id,start_lat,\
start_lng,end_lat,end_lng,member_casual\r
ABBBB4D89C620898,docked_bike,2021-03-03 10:32:07,2021-03-03 10:42:40,Jackson Square,JC063,"8 St, Hoboken",5247.10,\
40.71113,-74.0789,40.7177,-74.0438,member\r
987BC8C414C77F3E,electric_bike,2021-03-14 00:21:37,2021-03-14 00:32:59,"8 St, Hoboken",5247.10,Jackson Square,JC063,\
40.7177,-74.0438,40.71113,-74.0789,casual\r
"""
BIKETOWN_2017 = """\
RouteID,PaymentPlan,StartHub,StartLatitude,StartLongitude,StartDate,StartTime,EndHub,EndLatitude,EndLongitude,EndDate,\
EndTime,TripType,BikeID,BikeName,Distance_Miles,Duration,RentalAccessPath,MultipleRental\r
3850683,Casual,N Mississippi at Beech,45.54998583,-122.6756573,8/1/2017,0:01,N Killingsworth at Albina,45.56282546,\
-122.6747467,8/1/2017,0:09,,6203,0611 BIKETOWN,0.91,0:08:23,keypad,FALSE\r
3850688,Subscriber,,45.55100001,-122.6801111,8/31/2017,23:58,N Mississippi at Beech,45.54998583,-122.6756573,9/1/2017,\
0:09,,6804,"1026 DESIGN BIKE, NE",0.89,0:11:03,keypad,FALSE\r
3850690,Casual,N Killingsworth at Albina,45.56282546,-122.6747467,8/2/2017,10:01,N Killingsworth at Albina,45.56282546,\
-122.6747467,8/2/2017,12:00,,6804,0145 BIKETOWN,0.89,1:59:03,keypad,TRUE\r
"""
BIKETOWN_2019 = BIKETOWN_2017.replace("tLat", "t_Lat").replace("tLong", "t_Long").replace("dL", "d_L")
BIKETOWN_2019 = BIKETOWN_2019.replace("Distance_Miles", "Distance_Miles_")
LOUISVILLE = """\
TripID,StartDate,StartTime,EndDate,EndTime,TripDuration,TripDistance,StartLatitude,StartLongitude,EndLatitude,\
EndLongitude,DayOfWeek,HourNum
dc1289dd-5de4-6846-e953-66e72098,2019-08-01,00:15,2019-08-01,00:15,3,0.35,38.252,-85.754,38.253,-85.754,5,00
a158e61b-0a9e-dac0-8b1e-b23a69c6,2019-08-02,07:45,2019-08-02,07:45,7,1,38.26,-85.753,38.252,-85.754,6,07
"""
CHICAGO_2019 = """\
"trip_id","start_time","end_time","trip_distance","trip_duration","accuracy","start_census_tract","end_census_tract",\
"start_community_area_number","end_community_area_number","start_community_area_name","end_community_area_name",\
"start_centroid_latitude","start_centroid_longitude","start_centroid_location","end_centroid_latitude",\
"end_centroid_longitude","end_centroid_location"
"0b6cc3f2-0a61-43a5-928f-0de692aa8a2b","2019-06-15T04:00:00.000","2019-06-15T05:00:00.000","688","3921","152",,,"31",\
"31","LOWER WEST SIDE","LOWER WEST SIDE","41.8502661710639","-87.6675682255936",\
"POINT (-87.6675682255936 41.8502661710639)","41.8502661710639","-87.6675682255936",\
"POINT (-87.6675682255936 41.8502661710639)"
"e081485f-81c2-5780-beda-cc05217dcd2c","2019-06-15T06:00:00.000","2019-06-15T06:00:00.000","4473","831","0",,,"22",\
"22","LOGAN SQUARE","LOGAN SQUARE","41.9227598585219","-87.6991559457654","POINT (-87.6991559457654 41.9227598585219)",\
"41.8502661710639","-87.6675682255936","POINT (-87.6675682255936 41.8502661710639)"
"""
PORTO = """\
TRIP_ID,CALL_TYPE,ORIGIN_CALL,ORIGIN_STAND,TAXI_ID,TIMESTAMP,DAY_TYPE,MISSING_DATA,POLYLINE
1385853406620000529,A,46649.0,,20000529,1385853406,A,False,"[[-8.649117,41.150142],[-8.65,41.1502],[-8.649189,\
41.149701],[-8.648135,41.148873],[-8.640135,41.148873]]"
1376213777620000621,B,,15.0,20000621,1376213777,A,False,"[[-8.632767,41.155146],[-8.632731,41.15],[-8.631,41.155],\
[-8.632,41.155],[-8.639117,41.150142],[-8.64,41.15]]"
"""
CABS = """\
37.75153 -122.39447 0 1211034530\r
37.76149 -122.38447 1 1211033914\r
37.75549 -122.38447 1 1211033814\r
37.75149 -122.39447 1 1211033614\r
37.75153 -122.39447 0 1211033530\r
37.75149 -122.39447 1 1211023614\r
37.76149 -122.38447 1 1211023014\r
"""
DIALECT_FILES = {
    "citibike-2013": CITIBIKE_2019,
    "citibike-2013 with titles": CITIBIKE_TITLES,
    "citibike-2021": CITIBIKE_2021,
    "biketown": BIKETOWN_2017,
    "biketown since 2019": BIKETOWN_2019,
    "louisville": LOUISVILLE,
    "chicago-scooters": CHICAGO_2019,
    "porto": PORTO,
}


def write_text(path: Path, text: str) -> Path:
    """Write the text with the line ends it has."""
    path.write_text(text, encoding="utf-8", newline="")
    return path


def cells(text: str) -> list[dict[str, str]]:
    """Rows of a CSV as dictionaries of text."""
    return list(csv.DictReader(io.StringIO(text, newline="")))


def citibike(rows: list[dict[str, object]]) -> str:
    """A 15-column file from rows that name only what differs from a good trip."""
    good = dict(cells(CITIBIKE_2019)[0])
    lines = [",".join(good)] + [",".join(str(value) for value in (good | row).values()) for row in rows]
    return "\n".join(lines) + "\n"
